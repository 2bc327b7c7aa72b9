// The same server as server.py on Node.js, whose OpenSSL is linked statically into `node`.
//
//     node server.cjs SECRET_FILE CERTIFICATE KEY
"use strict";
const fs = require("fs");
const https = require("https");
const { WebSocketServer } = require("ws");

const [secret, cert, key] = process.argv.slice(2).map((name) => fs.readFileSync(name));
const server = https.createServer({ cert, key });
const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });

sockets.on("connection", (socket, request) => {
  const action = request.url.split("/").pop();
  socket.on("error", () => {}); // a client that breaks the protocol is part of the demo
  socket.on("message", (data, binary) => {
    if (action === "ordinary") socket.send(data, { binary });
    else if (action === "leak") socket.send(secret.toString());
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
