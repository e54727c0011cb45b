import { Command } from 'commander';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { readMachineConfig } from '../config.js';
import { examineNode } from '../doctor/examine-node.js';
import { printDiagnosis } from '../doctor/print-diagnosis.js';
import { importTemplate } from '../drivers/local/import-template.js';

/** The operator's command line on the machine of a sandbox node, with the configuration of its service. */
export const buildProgram = (environment: NodeJS.ProcessEnv, out: Writable): Command => {
  const program = new Command('gatehouse sandbox').description('Looks after the machine of a sandbox node').showHelpAfterError();
  const templatesDir = () => join(readMachineConfig(environment).SANDBOX_DATA_DIR, 'templates');

  program
    .command('doctor')
    .description('tell what isolation this machine offers, what is missing and how to mend it; runs a trial sandbox and leaves nothing behind. Exit code 0 when the service would start')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      let stopped = false;
      const stop = () => void (stopped = true); // what is begun is cleared up
      process.once('SIGINT', stop).once('SIGTERM', stop);
      const diagnosis = await examineNode(readMachineConfig(environment), () => stopped);
      out.write(json ? `${JSON.stringify(diagnosis)}\n` : printDiagnosis(diagnosis));
      if (!diagnosis.verdicts[diagnosis.kind].starts) process.exitCode = 1;
    });

  const template = program.command('template').description('root file systems of sandboxes (driver local)');

  template
    .command('add')
    .description('make a template of a tar of a root file system; then set SANDBOX_TEMPLATE to its name')
    .argument('<name>', 'lower case letters, digits, ".", "_" and "-"; a new one for each content, because sandboxes stand on it')
    .requiredOption('--tar <file>', 'from docker export, mmdebstrap and the like; may be compressed')
    .option('--unless-there', 'do nothing where there is one of that name')
    .action(async (name: string, { tar, unlessThere }: { tar: string; unlessThere?: true }) => {
      const directory = templatesDir();
      if (unlessThere && (await namesIn(directory)).includes(name)) return void out.write(`Template ${name} is there.\n`);
      if (process.getuid?.() !== 0) throw new Error('A template must be root\'s: run this as root.');
      const root = await importTemplate(directory, name, resolve(tar));
      out.write(`Template ${name} is in ${root}. Set SANDBOX_TEMPLATE=${name}, and see gatehouse sandbox doctor.\n`);
    });

  template
    .command('list')
    .description('names of the templates on this machine')
    .action(async () => {
      const names = await namesIn(templatesDir());
      out.write(names.length === 0 ? 'No templates yet. Make one: gatehouse sandbox template add <name> --tar <file>\n' : `${names.join('\n')}\n`);
    });

  return program;
};

async function namesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter(entry => entry.isDirectory() && !entry.name.startsWith('.')).map(entry => entry.name).sort();
}
