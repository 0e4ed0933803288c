// Node's own clients with trailers: node_trailers.js 1|2 PORT SIZE. Posts SIZE bytes to /trailers with trailers behind
// them and prints what came back as JSON: status, headers, size and trailers.
'use strict';

const http = require('http');
const http2 = require('http2');

const [version, port, size] = process.argv.slice(2).map(Number);
const trailers = { 'x-sum': '4711', 'x-forwarded-for': '6.6.6.6', 'content-type': 'evil/evil' };
const body = Buffer.alloc(size, 'y');
const found = { size: 0 };

const fail = (error) => { console.error(error); process.exit(1); };

if (version === 1) {
  const request = http.request({ port, method: 'POST', path: '/trailers', headers: { TE: 'trailers', Connection: 'TE' } });
  request.on('error', fail);
  request.on('response', (response) => {
    Object.assign(found, { status: response.statusCode, headers: response.headers });
    response.on('data', (data) => { found.size += data.length; });
    response.on('end', () => console.log(JSON.stringify({ ...found, trailers: response.trailers })));
  });
  request.flushHeaders(); // chunked, as the length is not known yet
  request.write(body);
  request.addTrailers(trailers);
  request.end();
} else {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', fail);
  const request = session.request({ ':method': 'POST', ':path': '/trailers', te: 'trailers' }, { waitForTrailers: true });
  request.on('error', fail);
  request.on('wantTrailers', () => request.sendTrailers(trailers));
  request.on('response', (headers) => Object.assign(found, { status: headers[':status'], headers }));
  request.on('trailers', (got) => { found.trailers = got; });
  request.on('data', (data) => { found.size += data.length; });
  request.on('end', () => session.close(() => console.log(JSON.stringify(found))));
  request.write(body);
  request.end();
}
