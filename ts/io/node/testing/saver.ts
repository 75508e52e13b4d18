// For tests, run as a child process that is killed: saves version after version of a checkpoint into one folder and says each number when it is done.
//   node saver.mjs FOLDER FIRST_VERSION
import { writeFolder } from '../atomicFolder';

const [folder, first] = process.argv.slice(2);
for (let version = Number(first); ; version++) {
  const text = `version ${version}\n`;
  const bytes = new TextEncoder().encode(text.repeat(501));
  await writeFolder(
    folder,
    new Map<string, string | Uint8Array>([
      ['config.json', text],
      ['weights.bin', bytes],
      ['empty', ''],
      ['blob.txt', text.repeat(50)],
    ]),
  );
  process.stdout.write(`${version}\n`);
}
