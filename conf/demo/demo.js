// The page: forms and facts around one WebSocket at a time.

import { Burst } from './burst.js';
import { byteLength, formatBytes, formatCount, formatMs } from './format.js';
import { LatencyPlot, latencyFigures } from './latency.js';
import { Log } from './log.js';

const MAX_REASON_BYTES = 123;         // RFC 6455 5.5: a control frame carries 125 bytes, two are the code
const MAX_PENDING = 1000;

const CLOSE_CODES = {
  1000: 'normal closure',
  1001: 'going away',
  1002: 'protocol error',
  1003: 'unsupported data',
  1005: 'no code given',
  1006: 'no close handshake',
  1007: 'data is not UTF-8',
  1008: 'policy violation',
  1009: 'message too big',
  1010: 'extension missing',
  1011: 'internal error',
  1012: 'service restart',
  1013: 'try again later',
  1014: 'bad gateway',
  1015: 'TLS failure',
};

const STATES = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  open: 'Connected',
  closing: 'Closing…',
  closed: 'Closed',
  failed: 'Failed',
};

const $ = id => document.getElementById(id);

const log = new Log({ body: $('log'), scroller: $('log-scroll'), empty: $('log-empty'), note: $('log-note') });
const plot = new LatencyPlot($('plot'), $('plot-read'));

let socket = null;
let opened = false;                   // whether the handshake of this socket succeeded
let burst = null;                     // the latest one, running or ended
let pending = [];                     // sent one by one and not yet echoed: { data, at }
let traffic = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
let roundTrip = { last: null, best: null };
let drawQueued = false;

/* ---- what the page shows ---- */

function setState(next, words = STATES[next]) {
  const connected = next === 'open';
  const busy = next === 'connecting' || next === 'closing';

  document.body.dataset.state = next;
  $('state').textContent = words;
  announce(words);
  setDisabled($('connect'), connected || busy);
  setDisabled($('send'), !connected);
  setDisabled($('burst'), !connected);
  setDisabled($('close'), !connected && next !== 'connecting');
  document.querySelectorAll('.chip').forEach(chip => setDisabled(chip, connected || busy));
  if (next !== 'closing')
    showResult(connected ? 'Ready to send.' : 'Connect first, then send.');
  $('url').readOnly = $('protocols').readOnly = connected || busy;
}

/* Buttons keep the focus when they have nothing to do, and say why when they are pressed all the same. */
function setDisabled(button, disabled) {
  button.setAttribute('aria-disabled', String(disabled));
}

const burstRuns = () => burst !== null && !burst.ended;

const isDisabled = button => button.getAttribute('aria-disabled') === 'true';

function announce(words) {
  $('announce').textContent = words;
}

/* words: an empty string takes the error away. */
function fieldError(id, words, ...inputs) {
  $(id).textContent = words;
  $(id).hidden = words === '';
  inputs.forEach(input => input.setAttribute('aria-invalid', String(words !== '')));
  if (words !== '')
    inputs[0]?.focus();
}

function showProblem(title, words = '') {
  const strong = document.createElement('strong');

  strong.textContent = title;
  $('problem').replaceChildren(strong, words);
  $('problem').hidden = title === '';
}

function showResult(words, bad = false) {
  $('send-result').textContent = words;
  $('send-result').classList.toggle('bad', bad);
}

function drawFacts() {
  drawQueued = false;
  $('fact-rtt').textContent = roundTrip.last === null ? '–' : formatMs(roundTrip.last);
  $('fact-rtt-best').textContent = roundTrip.best === null ? '' : `best ${formatMs(roundTrip.best)}`;
  $('fact-sent').textContent = formatCount(traffic.sent + (burstRuns() ? burst.sent : 0));
  $('fact-sent-bytes').textContent = formatBytes(traffic.sentBytes + (burstRuns() ? burst.sent * burst.size : 0));
  $('fact-received').textContent = formatCount(traffic.received);
  $('fact-received-bytes').textContent = formatBytes(traffic.receivedBytes);
  if (burstRuns())
    $('plot-note').textContent = `${formatCount(burst.received)} of ${formatCount(burst.count)} came back …`;
}

/* Once a frame at most, and seldom while a burst runs: drawing would take the time that the burst measures. */
function queueFacts() {
  if (drawQueued)
    return;
  drawQueued = true;
  if (burstRuns())
    setTimeout(drawFacts, 250);
  else
    requestAnimationFrame(drawFacts);
}

function countTraffic(direction, bytes) {
  traffic[direction] += 1;
  traffic[`${direction}Bytes`] += bytes;
  queueFacts();
}

function runDot(direction) {
  const wire = $('wire');

  if (matchMedia('(prefers-reduced-motion: reduce)').matches || wire.childElementCount > 5)
    return;
  const dot = document.createElement('span');
  dot.className = `wire-dot ${direction}`;
  wire.append(dot);
  const ends = [{ left: '0%' }, { left: '100%' }];
  dot.animate(direction === 'sent' ? ends : ends.reverse(), { duration: 420, easing: 'ease-in-out' })
    .finished.finally(() => dot.remove());
}

/* The HTTP version that carried this page; browsers do not tell the one under a WebSocket. */
function pageHttpVersion() {
  const protocol = performance.getEntriesByType('navigation')[0]?.nextHopProtocol ?? '';
  const names = { 'http/1.0': 'HTTP/1.0', 'http/1.1': 'HTTP/1.1', h2: 'HTTP/2', h2c: 'HTTP/2', h3: 'HTTP/3' };

  return names[protocol] ?? (protocol || 'not told');
}

/* ---- what the user typed ---- */

/* Returns the URL, or '' after it said what is wrong. Browsers resolve what is not an absolute ws URL against the
   page's address these days: that would connect to a place which the user did not name. */
function readUrl() {
  const input = $('url');
  const value = input.value.trim();
  let url = null;
  let words = '';

  try {
    url = new URL(value);
  } catch {
    // told below
  }
  if (value === '')
    words = 'Enter a URL, for example ws://127.0.0.1:8080/ws.';
  else if (url === null)
    words = 'This is not a URL. It takes the form ws://host:port/path.';
  else if (url.protocol === 'http:' || url.protocol === 'https:')
    words = `A WebSocket URL begins with ${url.protocol === 'http:' ? 'ws' : 'wss'}:// instead of ${url.protocol}//.`;
  else if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    words = `A WebSocket URL begins with ws:// or wss://; “${url.protocol}” is something else.`;
  else if (url.hash !== '' || value.includes('#'))
    words = 'A WebSocket URL has no fragment: leave out the “#” and what follows it.';
  else if (location.protocol === 'https:' && url.protocol === 'ws:' &&
           !/^(localhost|127\..*|\[::1\])$/.test(url.hostname))
    words = 'This page came by https: the browser allows only wss:// from here.';
  fieldError('url-error', words, input);
  return words === '' ? url.href : '';
}

/* Returns a list, or null after it said what is wrong. */
function readProtocols() {
  const input = $('protocols');
  const names = input.value.split(/[\s,]+/).filter(name => name !== '');
  const bad = names.find(name => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  let words = '';

  if (bad !== undefined)
    words = `“${bad}” cannot be a subprotocol's name: letters, digits and -._~!#$%&'*+^\`| only.`;
  else if (twice !== undefined)
    words = `“${twice}” stands there twice.`;
  fieldError('protocols-error', words, input);
  return words === '' ? names : null;
}

/* Returns a string or a Uint8Array, or null after it said what is wrong. */
function readMessage() {
  const input = $('message');

  fieldError('message-error', '', input);
  if (document.querySelector('input[name="kind"]:checked').value === 'text')
    return input.value;
  const digits = input.value.replace(/0x/gi, '').replace(/[\s,:]+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) {
    fieldError('message-error', 'Hex bytes are pairs of digits 0-9 and a-f, for example: 48 65 6c 6c 6f.', input);
    return null;
  }
  return Uint8Array.from(digits.match(/../g) ?? [], pair => parseInt(pair, 16));
}

/* Returns { code, reason }, or null after it said what is wrong. Both limits are the browsers' own. */
function readClose() {
  const typed = $('code').value.trim();
  const code = Number(typed);
  const reason = $('reason').value;
  const reasonBytes = byteLength(reason);
  let codeWords = '';
  let reasonWords = '';

  if (!/^\d+$/.test(typed) || !(code === 1000 || (code >= 3000 && code <= 4999)))
    codeWords = 'A browser may close with 1000, or with 3000 to 4999; the other codes are the protocol’s own.';
  if (reasonBytes > MAX_REASON_BYTES)
    reasonWords = `The reason is ${reasonBytes} bytes long as UTF-8; ${MAX_REASON_BYTES} are allowed.`;
  fieldError('reason-error', reasonWords, $('reason'));
  fieldError('code-error', codeWords, $('code'));
  return codeWords === '' && reasonWords === '' ? { code, reason } : null;
}

/* Returns { count, size, inFlight }, or null after it said what is wrong. */
function readBurst() {
  const inputs = [$('burst-count'), $('burst-size'), $('burst-window')];
  const bad = inputs.find(input => !/^\d+$/.test(input.value) || !input.checkValidity());

  inputs.forEach(input => input.setAttribute('aria-invalid', 'false'));
  if (bad === undefined) {
    fieldError('burst-error', '');
    const [count, size, inFlight] = inputs.map(input => Number(input.value));
    return { count, size, inFlight };
  }
  fieldError('burst-error', `“${bad.labels[0].textContent}” is a whole number from ${formatCount(Number(bad.min))} ` +
    `to ${formatCount(Number(bad.max))}.`, bad);
  return null;
}

function measureMessage() {
  const text = document.querySelector('input[name="kind"]:checked').value === 'text';

  $('message-size').textContent = text ? formatBytes(byteLength($('message').value)) : 'in hex';
}

function measureReason() {
  const bytes = byteLength($('reason').value);

  $('reason-size').textContent = `${bytes} of ${MAX_REASON_BYTES} B`;
  $('reason-size').classList.toggle('over', bytes > MAX_REASON_BYTES);
}

/* ---- the connection ---- */

function connect() {
  const url = readUrl();
  const protocols = url === '' ? null : readProtocols();

  if (protocols === null)
    return;
  showProblem('');
  pending = [];
  traffic = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
  roundTrip = { last: null, best: null };
  $('fact-protocol').textContent = $('fact-extensions').textContent = '–';
  queueFacts();
  try {
    socket = new WebSocket(url, protocols);
  } catch (error) {
    // what the checks above let through, the browser still may not like
    setState('failed');
    log.add('error', { note: `${url}: ${error.message}` });
    showProblem('The browser did not accept this.', error.message);
    return;
  }
  opened = false;
  socket.binaryType = 'arraybuffer';
  setState('connecting');
  const startedAt = performance.now();
  const offered = protocols.length > 0;
  socket.onopen = () => onOpen(performance.now() - startedAt);
  socket.onmessage = event => onMessage(event.data);
  socket.onclose = event => onClose(event, url, offered);
}

function onOpen(ms) {
  const { url, protocol, extensions } = socket;

  opened = true;
  $('fact-protocol').textContent = protocol || 'none';
  $('fact-extensions').textContent = extensions || 'none';
  log.add('opened', {
    payload: url,
    note: `in ${formatMs(ms)}, ${protocol ? `subprotocol ${protocol}` : 'no subprotocol'}, ` +
      (extensions || 'no extensions'),
  });
  setState('open');
}

function onMessage(data) {
  const now = performance.now();
  const payload = typeof data === 'string' ? data : new Uint8Array(data);
  const size = typeof data === 'string' ? byteLength(data) : payload.length;

  if (burst?.take(data)) {
    countTraffic('received', size);
    return;
  }
  countTraffic('received', size);
  const ms = matchPending(payload, now);
  log.add('received', { payload, size, note: ms === null ? '' : `after ${formatMs(ms)}` });
  runDot('received');
  if (ms !== null) {
    roundTrip.last = ms;
    roundTrip.best = roundTrip.best === null ? ms : Math.min(ms, roundTrip.best);
    showResult(`Echoed: ${formatBytes(size)} came back after ${formatMs(ms)}.`);
  }
  announce(`Received ${typeof payload === 'string' ? payload.slice(0, 200) : formatBytes(size)}`);
}

/* Returns how long the echo of a sent message took, or null when this message is the echo of none: the URL may lead
   to a server that does something else. */
function matchPending(payload, now) {
  const same = (a, b) => typeof a === typeof b && a.length === b.length &&
    (typeof a === 'string' ? a === b : a.every((byte, index) => byte === b[index]));
  const index = pending.findIndex(message => same(message.data, payload));

  if (index < 0)
    return null;
  const { at } = pending[index];
  pending.splice(0, index + 1);
  return now - at;
}

function onClose(event, url, offered) {
  const { code, reason, wasClean } = event;
  const name = CLOSE_CODES[code];
  burst?.end('The connection closed before every echo came.');
  socket = null;
  if (!opened) {
    log.add('error', { payload: url, note: 'was refused, or could not be reached' });
    showProblem('The connection was refused, or could not be made.',
      'The browser hides the cause from pages. Perhaps the server answered 403, because it does not allow this page’s ' +
      'Origin, or 404, because it has no such route' + (offered ? ', or it knows none of the offered subprotocols' : '') +
      '; or nothing listens there. The gateway’s access log and the browser’s console tell more.');
  } else if (!wasClean) {
    showProblem('The connection was lost.', 'It ended without a close handshake.');
  }
  log.add('closed', {
    payload: reason || undefined,
    note: [`code ${code}`, name, wasClean ? 'clean' : 'not clean'].filter(Boolean).join(', '),
    size: reason ? byteLength(reason) : undefined,
  });
  setState(opened ? 'closed' : 'failed', opened ? `Closed, ${code}` : undefined);
}

function send() {
  if (isDisabled($('send'))) {
    showResult('Not connected: press Connect first.', true);
    return;
  }
  const data = readMessage();
  if (data === null)
    return;
  const size = typeof data === 'string' ? byteLength(data) : data.length;
  if (pending.length < MAX_PENDING)
    pending.push({ data, at: performance.now() });
  socket.send(data);
  countTraffic('sent', size);
  log.add('sent', { payload: data, size });
  runDot('sent');
  showResult(`Sent: ${formatBytes(size)}.`);
}

function close() {
  const wish = readClose();

  if (wish === null || isDisabled($('close')))
    return;
  const { code, reason } = wish;
  log.add('closing', {
    payload: reason || undefined,
    note: [`code ${code}`, CLOSE_CODES[code]].filter(Boolean).join(', '),
    size: reason ? byteLength(reason) : undefined,
  });
  setState('closing');
  socket.close(code, reason);
}

/* ---- the burst ---- */

function startOrStopBurst() {
  if (burstRuns()) {
    burst.end('Stopped.');
    return;
  }
  if (isDisabled($('burst'))) {
    fieldError('burst-error', 'Not connected: press Connect first.');
    return;
  }
  const plan = readBurst();
  if (plan === null)
    return;
  burst = new Burst(socket, plan, endBurst);
  $('burst').textContent = 'Stop';
  announce(`Burst of ${plan.count} messages`);
  burst.pump();
  queueFacts();
}

function endBurst(problem) {
  const run = burst;
  const figures = latencyFigures(run.samples);

  traffic.sent += run.sent;
  traffic.sentBytes += run.sent * run.size;
  queueFacts();
  $('burst').textContent = 'Send burst';
  fieldError('burst-error', problem);

  const came = `${formatCount(run.received)} of ${formatCount(run.count)} messages of ${formatBytes(run.size)} ` +
    'came back';
  if (figures === null) {
    $('plot-note').textContent = `${came}.`;
    log.add('burst', { note: `${came}. ${problem}` });
    return;
  }
  const rate = run.elapsed > 0 ? Math.round(run.received / run.elapsed * 1000) : 0;
  const above = plot.show(run.samples, figures);
  for (const name of ['min', 'median', 'p95', 'max'])
    $(`burst-${name}`).textContent = formatMs(figures[name]);
  $('plot-empty').hidden = true;
  const summary = `${came}, at most ${formatCount(run.inFlight)} in flight` +
    (rate > 0 ? `: ${formatCount(rate)} messages a second` : '');
  const marked = `${formatCount(above)} slower than the scale ${above === 1 ? 'is' : 'are'} marked on its top edge.`;
  $('plot-note').textContent = `${summary}. ${above > 0 ? marked : ''}`;
  log.add('burst', {
    note: `${summary}; median ${formatMs(figures.median)}, p95 ${formatMs(figures.p95)}. ${problem}`,
    size: run.received * run.size,
  });
  announce(`Burst ended: ${came}, median ${formatMs(figures.median)}`);
}

/* ---- wiring ---- */

function onSubmit(id, action) {
  $(id).addEventListener('submit', event => {
    event.preventDefault();
    action();
  });
}

onSubmit('connect-form', () => {
  if (!isDisabled($('connect')))
    connect();
});
onSubmit('send-form', send);
onSubmit('close-form', close);
onSubmit('burst-form', startOrStopBurst);

$('message').addEventListener('keydown', event => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('send-form').requestSubmit();
  }
});
$('message').addEventListener('input', measureMessage);
$('send-form').addEventListener('change', measureMessage);
$('reason').addEventListener('input', measureReason);
$('clear').addEventListener('click', () => {
  log.clear();
  announce('Log cleared');
});

const gateway = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
document.querySelectorAll('.chip').forEach(chip => chip.addEventListener('click', () => {
  if (!isDisabled(chip)) {
    $('url').value = gateway + chip.dataset.path;
    fieldError('url-error', '', $('url'));
  }
}));

$('url').value = `${gateway}/ws`;
$('wire-host').textContent = location.host;
$('fact-http').textContent = pageHttpVersion();
measureMessage();
measureReason();
setState('idle');
