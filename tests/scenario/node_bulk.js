// Large bodies by Node's own clients: node_bulk.js 1|2 PORT up|down MIB. Sends or takes that much in pieces of random
// sizes, stalling now and then; prints what both sides counted and hashed, as JSON.
'use strict';

const crypto = require('crypto');
const http = require('http');
const http2 = require('http2');

const [version, port, way, mib] = process.argv.slice(2);
const total = Number(mib) * 1048576;
const noise = crypto.randomBytes(4194304);
const hash = crypto.createHash('sha256');
let size = 0;
let stallAt = 0;

const fail = (error) => { console.error(error); process.exit(1); };

// whether it is time for a pause, some four times in all
const stalls = () => size > stallAt && ((stallAt = size + total / 4 * (0.5 + Math.random())), true);

function send(request) {
  while (size < total) {
    const at = Math.floor(Math.random() * 2097152);
    const piece = noise.subarray(at, at + Math.min(total - size, 1 + Math.floor(Math.random() * 1000000)));
    hash.update(piece);
    size += piece.length;
    const more = request.write(piece);
    if (stalls())
      return setTimeout(() => send(request), 50);
    if (!more)
      return request.once('drain', () => send(request));
  }
  request.end();
}

function take(response, trailers, done) {
  let text = '';
  response.on('data', (data) => {
    if (way === 'up') {
      text += data;
      return;
    }
    hash.update(data);
    size += data.length;
    if (stalls()) {
      response.pause();
      setTimeout(() => response.resume(), 50);
    }
  });
  response.on('end', () => {
    const other = way === 'up' ? JSON.parse(text) : trailers();
    console.log(JSON.stringify({ size, sha256: hash.digest('hex'), other: { size: Number(other.size), sha256: other.sha256 } }));
    done();
  });
}

const method = way === 'up' ? 'POST' : 'GET';
const path = way === 'up' ? '/up' : `/noise?${mib}`;
if (version === '1') {
  const request = http.request({ port, method, path, headers: way === 'up' ? { 'Transfer-Encoding': 'chunked' } : {} });
  request.on('error', fail);
  request.on('response', (response) => take(response, () => response.trailers, () => process.exit(0)));
  way === 'up' ? send(request) : request.end();
} else {
  const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 1048576 } });
  session.on('error', fail);
  session.on('connect', () => session.setLocalWindowSize(4194304));
  const request = session.request({ ':method': method, ':path': path }, { endStream: way !== 'up' });
  let trailers = {};
  request.on('error', fail);
  request.on('trailers', (got) => { trailers = got; });
  take(request, () => trailers, () => session.close());
  if (way === 'up')
    send(request);
}
