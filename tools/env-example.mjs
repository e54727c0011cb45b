import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, root } from './workspace.mjs';

const APPS = ['gateway', 'vault', 'budget', 'sandbox', 'egress'];

/**
 * The text of .env.example, from the configuration that the built processes declare.
 *
 * @returns {Promise<string>}
 */
export async function envExample() {
  const variables = new Map();
  for (const app of APPS) {
    const specs = Object.entries(await import(join(root, `apps/${app}/dist/config.js`))).find(([name]) => name.endsWith('ConfigSpecs'))[1];
    for (const [name, { desc, default: preset }] of Object.entries(specs)) {
      const known = variables.get(name);
      if (known) known.apps.push(app);
      else variables.set(name, { desc, preset, required: !Object.hasOwn(specs[name], 'default'), apps: [app] });
    }
  }
  const blocks = [...variables].map(([name, { desc, preset, required, apps }]) => {
    const who = apps.length === APPS.length ? 'all' : apps.join(', ');
    return `# ${desc} (${who})\n${required ? `${name}=` : `# ${name}=${[preset ?? ''].flat().join(',')}`}\n`;
  });
  return `# Everything the processes read from their environment. Lines without # are required.\n# Generated: node tools/env-example.mjs\n\n${blocks.join('\n')}`;
}

if (isMain(import.meta.url)) writeFileSync(join(root, '.env.example'), await envExample());
