// ws on Node.js, whose OpenSSL is in its own executable: echo_node.cjs [CERTIFICATE KEY]
"use strict";
const fs = require("fs");
const { WebSocketServer } = require("ws");

const [cert, key] = process.argv.slice(2).map((name) => fs.readFileSync(name));
const server = cert ? require("https").createServer({ cert, key }) : require("http").createServer();
new WebSocketServer({ server, perMessageDeflate: true }).on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
