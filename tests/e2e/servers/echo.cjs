// Echoes over TLS with Node.js and `ws`:  node echo.cjs CERTIFICATE KEY [PORT]
"use strict";
const fs = require("fs");
const https = require("https");
const { WebSocketServer } = require("ws");

const [certificate, key, port = "0"] = process.argv.slice(2);
const server = https.createServer({
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
});
const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });
sockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.listen(Number(port), "127.0.0.1", () =>
  console.log(`listening on ${server.address().port}`),
);
process.stdin.resume().on("end", () => process.exit());
