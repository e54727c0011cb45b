// Imported first by every command, so that an old Node is told in one sentence and not by a stack trace.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Gatehouse needs Node 20.19 or newer; this is ${process.version}.`);
  process.exit(1);
}
