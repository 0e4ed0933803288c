// A client by npm's ws: node_client.js URL [SUBPROTOCOL...]. Sends messages of many sizes, fragmented ones and PINGs to
// an echo, closes with 4000, and prints what it found as JSON; exit status 1 and why on stderr if an echo is wrong.
'use strict';

const WebSocket = require('ws');

const [url, ...protocols] = process.argv.slice(2);
const socket = new WebSocket(url, protocols, { rejectUnauthorized: false, maxPayload: 64 << 20 });
const expected = [];
let echoed = 0;
let pongs = 0;

function fail(why) {
  console.error(String(why));
  process.exit(1);
}

function send(data) {
  expected.push(data);
  socket.send(data);
}

socket.on('error', fail);
socket.on('unexpected-response', (request, response) => {
  console.log(JSON.stringify({ status: response.statusCode }));
  process.exit(0);
});
socket.on('open', () => {
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]) {
    send('ü'.repeat(size / 2) + 'x'.repeat(size % 2));
    send(Buffer.alloc(size, size));
  }
  expected.push('one two three');
  socket.send('one ', { fin: false });
  socket.ping('in between');
  socket.send('two ', { fin: false });
  socket.send('three', { fin: true });
});
socket.on('pong', (data) => {
  if (data.toString() === 'in between')
    pongs++;
});
socket.on('message', (data, isBinary) => {
  const want = expected[echoed++];
  if (isBinary !== Buffer.isBuffer(want) || !data.equals(Buffer.from(want)))
    fail(`message ${echoed} came back otherwise: ${data.length} bytes`);
  if (echoed === expected.length)
    socket.close(4000, 'done');
});
socket.on('close', (code, reason) => {
  console.log(JSON.stringify({
    status: 101, echoed, pongs, code, reason: reason.toString(),
    protocol: socket.protocol, extensions: socket.extensions,
  }));
});
