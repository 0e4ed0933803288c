// A burst: count messages of size bytes, no more than inFlight of them on their way at once, and the time that each
// echo took. Knows nothing of the page.

const STALL_MS = 10000;

export class Burst {
  samples = [];               // milliseconds, by message number; a hole where no echo came
  sent = 0;
  received = 0;

  #socket;
  #tag = `burst ${Math.random().toString(36).slice(2, 6)} `;
  #sentAt = [];
  #startedAt = performance.now();
  #lastAt = this.#startedAt;
  #watch;
  #onEnd;

  /* onEnd(problem) is called once; problem is an empty string when every echo came. */
  constructor(socket, { count, size, inFlight }, onEnd) {
    this.#socket = socket;
    this.count = count;
    this.size = size;
    this.inFlight = inFlight;
    this.#onEnd = onEnd;
    this.#watch = setInterval(() => this.#checkStall(), 500);
  }

  get elapsed() {
    return this.#lastAt - this.#startedAt;
  }

  get ended() {
    return this.#onEnd === null;
  }

  /* Sends as many as may be in flight. */
  pump() {
    while (!this.ended && this.sent < this.count && this.sent - this.received < this.inFlight) {
      const number = this.sent++;
      const message = `${this.#tag}${number} `.padEnd(this.size, '.');
      this.#sentAt[number] = performance.now();
      this.#socket.send(message);
    }
  }

  /* Returns whether data is the echo of one of this burst's messages. One that comes after the end is not measured. */
  take(data) {
    const now = performance.now();

    if (typeof data !== 'string' || !data.startsWith(this.#tag))
      return false;
    const number = parseInt(data.slice(this.#tag.length), 10);
    if (!(number < this.sent) || number in this.samples)
      return false;
    if (this.ended)
      return true;
    this.samples[number] = now - this.#sentAt[number];
    this.received += 1;
    this.#lastAt = now;
    if (this.received === this.count)
      this.end('');
    else
      this.pump();
    return true;
  }

  end(problem) {
    const onEnd = this.#onEnd;

    if (onEnd === null)
      return;
    this.#onEnd = null;
    clearInterval(this.#watch);
    onEnd(problem);
  }

  #checkStall() {
    if (performance.now() - this.#lastAt > STALL_MS)
      this.end(`No echo came for ${STALL_MS / 1000} seconds.`);
  }
}
