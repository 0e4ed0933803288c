// Node's own HTTP/2 client: node_http2.js ORIGIN WS-PATH FILE-PATH. Opens a WebSocket by extended CONNECT (RFC 8441) with
// hand-made frames, sends messages of many sizes to the echo, loads a file beside it, closes with 4000 and prints what it found
// as JSON; exit status 1 and the reason on stderr if anything is wrong.
'use strict';

const http2 = require('http2');
const crypto = require('crypto');

const [origin, wsPath, filePath] = process.argv.slice(2);
const found = { echoed: 0 };
const sent = [];
let received = Buffer.alloc(0);

function fail(why) {
  console.error(String(why && why.stack || why));
  process.exit(1);
}

function frame(opcode, payload) {
  const size = payload.length;
  const mask = crypto.randomBytes(4);
  const head = size < 126 ? Buffer.alloc(2) : size < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = 0x80 | opcode;
  if (size < 126) {
    head[1] = 0x80 | size;
  } else if (size < 65536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(size, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  const masked = Buffer.from(payload);
  for (let i = 0; i < size; i++)
    masked[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, masked]);
}

let message = [];

// Takes one frame off what was received; false when it is not whole.
function takeFrame(onFrame) {
  if (received.length < 2)
    return false;
  let size = received[1] & 0x7f;
  let at = 2;
  if (size === 126) {
    if (received.length < 4)
      return false;
    size = received.readUInt16BE(2);
    at = 4;
  } else if (size === 127) {
    if (received.length < 10)
      return false;
    size = Number(received.readBigUInt64BE(2));
    at = 10;
  }
  if (received.length < at + size)
    return false;
  const first = received[0];
  const payload = received.subarray(at, at + size);
  received = received.subarray(at + size);
  onFrame(first & 15, (first & 0x80) !== 0, payload);
  return true;
}

const session = http2.connect(origin);
session.on('error', fail);
session.on('remoteSettings', (settings) => {
  if (!settings.enableConnectProtocol)
    fail('no extended CONNECT');
  if (found.status !== undefined)
    return;
  found.status = 0;
  const ws = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':path': wsPath, ':scheme': 'http',
    'sec-websocket-version': '13', origin: 'http://localhost',
  });
  ws.on('error', fail);
  ws.on('response', (headers) => {
    found.status = headers[':status'];
    for (const size of [0, 1, 125, 126, 127, 1000, 16383, 16384, 65535, 65536, 300000, 2 << 20]) {
      sent.push(crypto.randomBytes(size));
      ws.write(frame(2, sent[sent.length - 1]));
    }
    const file = session.request({ ':path': filePath });
    found.size = 0;
    file.on('data', (chunk) => { found.size += chunk.length; });
    file.on('error', fail);
    file.end();
  });
  ws.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (takeFrame((opcode, fin, payload) => {
      if (opcode === 8) {
        found.code = payload.readUInt16BE(0);
        ws.end();
        return;
      }
      message.push(Buffer.from(payload));
      if (!fin)
        return;
      if (!Buffer.concat(message).equals(sent[found.echoed]))
        fail(`message ${found.echoed} came back otherwise`);
      message = [];
      if (++found.echoed === sent.length)
        ws.write(frame(8, Buffer.from([4000 >> 8, 4000 & 255])));
    }));
  });
  ws.on('close', () => {
    session.close(() => {
      console.log(JSON.stringify(found));
    });
  });
});
