// An echo server by Node's own HTTP/2: node_h2_server.js plain|CERTIFICATE [KEY] [no-connect]. Prints its port. WebSockets
// come by extended CONNECT (RFC 8441), or with no-connect by HTTP/1.1 only, to npm's ws. The text "who" makes it tell the
// request's headers; the path /refused is refused.
'use strict';

const fs = require('fs');
const http2 = require('http2');

const [, , certificate, key, option] = process.argv;
const settings = { enableConnectProtocol: option !== 'no-connect' };
const server = certificate === 'plain'
  ? http2.createServer({ settings })
  : http2.createSecureServer({
    settings, allowHTTP1: true, cert: fs.readFileSync(certificate), key: fs.readFileSync(key),
  });

function head(opcode, size) {
  const bytes = Buffer.alloc(size < 126 ? 2 : size < 65536 ? 4 : 10);
  bytes[0] = 0x80 | opcode;
  if (size < 126) {
    bytes[1] = size;
  } else if (size < 65536) {
    bytes[1] = 126;
    bytes.writeUInt16BE(size, 2);
  } else {
    bytes[1] = 127;
    bytes.writeBigUInt64BE(BigInt(size), 2);
  }
  return bytes;
}

// The first whole frame in some bytes, unmasked, or null.
function take(bytes) {
  if (bytes.length < 2)
    return null;
  if (!(bytes[1] & 0x80))
    throw new Error('a frame is not masked');
  let size = bytes[1] & 0x7f;
  let at = 2;
  if (size === 126) {
    at = 4;
    if (bytes.length < at)
      return null;
    size = bytes.readUInt16BE(2);
  } else if (size === 127) {
    at = 10;
    if (bytes.length < at)
      return null;
    size = Number(bytes.readBigUInt64BE(2));
  }
  if (bytes.length < at + 4 + size)
    return null;
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + size));
  for (let i = 0; i < size; i++)
    payload[i] ^= bytes[at + (i & 3)];
  return { opcode: bytes[0] & 15, payload, rest: bytes.subarray(at + 4 + size) };
}

function answer(stream, headers, frame) {
  let payload = frame.payload;
  if (frame.opcode === 1 && payload.toString() === 'who')
    payload = Buffer.from(JSON.stringify(headers));
  stream.write(head(frame.opcode === 9 ? 10 : frame.opcode, payload.length));
  stream.write(payload);
  if (frame.opcode === 8)
    stream.end();
}

server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket' || headers[':path'] === '/refused') {
    stream.respond({ ':status': 403, 'content-type': 'text/plain' });
    stream.end('not here\n');
    return;
  }
  const protocol = headers['sec-websocket-protocol'];
  stream.respond({ ':status': 200, ...(protocol && { 'sec-websocket-protocol': protocol.split(',')[0] }) });
  let bytes = [];
  let size = 0;
  let next = 0; // below so many bytes no whole frame can be there
  stream.on('data', (data) => {
    bytes.push(data);
    size += data.length;
    if (size < next)
      return;
    let all = Buffer.concat(bytes);
    for (let frame = take(all); frame; frame = take(all)) {
      answer(stream, headers, frame);
      all = frame.rest;
    }
    bytes = [all];
    size = all.length;
    next = size >= 14 && (all[1] & 0x7f) === 127 ? Number(all.readBigUInt64BE(2)) + 14 : 0;
  });
});
if (option === 'no-connect') {
  const { WebSocketServer } = require('ws');
  new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}
server.listen({ host: '127.0.0.1', port: 0 }, () => console.log(server.address().port));
