// The Communication Log: a table of what happened on the connection, oldest first, with a bounded number of rows.
// Payloads come from the network: they go into the page as text, never as markup.

import { formatBytes, formatCount } from './format.js';

const MAX_ROWS = 500;
const MAX_TEXT = 2000;
const MAX_HEX_BYTES = 64;

const EVENTS = {
  opened: ['●', 'Opened'],
  sent: ['↑', 'Sent'],
  received: ['↓', 'Received'],
  closing: ['◐', 'Close sent'],
  closed: ['■', 'Closed'],
  error: ['!', 'Error'],
  burst: ['≡', 'Burst'],
};

function excerpt(payload) {
  if (typeof payload === 'string')
    return payload.length > MAX_TEXT ? `${payload.slice(0, MAX_TEXT)}…` : payload;
  const hex = Array.from(payload.subarray(0, MAX_HEX_BYTES), byte => byte.toString(16).padStart(2, '0')).join(' ');
  return payload.length > MAX_HEX_BYTES ? `${hex} …` : hex;
}

function timeOfDay(date) {
  const digits = (number, width) => String(number).padStart(width, '0');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(part => digits(part, 2)).join(':');

  return `${clock}.${digits(date.getMilliseconds(), 3)}`;
}

function span(className, text) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}

export class Log {
  #body;
  #scroller;
  #empty;
  #note;
  #dropped = 0;
  #measured = false;

  constructor({ body, scroller, empty, note }) {
    this.#body = body;
    this.#scroller = scroller;
    this.#empty = empty;
    this.#note = note;
    this.#showNote();
  }

  /* event: a key of EVENTS; payload: a string, a Uint8Array or nothing; note: our own words about it;
     size: bytes, where the event has any. The view follows the newest row unless the reader scrolled away from it. */
  add(event, { payload, note = '', size } = {}) {
    this.#followNewest();
    this.#body.append(this.#row(event, payload, note, size));
    if (this.#body.rows.length > MAX_ROWS) {
      this.#body.rows[0].remove();
      this.#dropped += 1;
    }
    this.#empty.hidden = true;
    this.#showNote();
  }

  clear() {
    this.#body.replaceChildren();
    this.#dropped = 0;
    this.#empty.hidden = false;
    this.#showNote();
  }

  /* Measures and scrolls once a frame, before its first new row and after its last: each measuring lays out the table. */
  #followNewest() {
    const scroller = this.#scroller;

    if (this.#measured)
      return;
    this.#measured = true;
    const follow = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 32;
    requestAnimationFrame(() => {
      this.#measured = false;
      if (follow)
        scroller.scrollTop = scroller.scrollHeight;
    });
  }

  #row(event, payload, note, size) {
    const [glyph, name] = EVENTS[event];
    const row = document.createElement('tr');
    row.setAttribute('role', 'row');
    row.dataset.event = event;

    const badge = span('badge', '');
    const mark = span('glyph', glyph);
    mark.setAttribute('aria-hidden', 'true');
    badge.append(mark, name);

    const notes = [];
    if (payload instanceof Uint8Array)
      notes.push(payload.length > MAX_HEX_BYTES ? `binary, the first ${MAX_HEX_BYTES} bytes in hex` : 'binary, in hex');
    else if (payload?.length > MAX_TEXT)
      notes.push(`and ${formatCount(payload.length - MAX_TEXT)} more characters`);
    if (payload?.length === 0)
      notes.push('empty');
    if (note)
      notes.push(note);

    const content = [];
    if (payload?.length > 0)
      content.push(span('payload', excerpt(payload)), ' ');
    content.push(span('note', notes.join(' · ')));

    row.append(
      this.#cell('col-time', timeOfDay(new Date())),
      this.#cell('col-event', badge),
      this.#cell('col-payload', ...content),
      this.#cell('col-size', size === undefined ? '' : formatBytes(size)));
    return row;
  }

  #cell(className, ...content) {
    const cell = document.createElement('td');
    cell.setAttribute('role', 'cell');
    cell.className = className;
    cell.append(...content);
    return cell;
  }

  #showNote() {
    this.#note.textContent = `The last ${MAX_ROWS} events are kept` +
      (this.#dropped ? `; ${formatCount(this.#dropped)} older dropped.` : '.');
  }
}
