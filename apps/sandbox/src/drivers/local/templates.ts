import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { DriverError } from '../driver-error.js';
import { makeHostRoot } from './host-template.js';
import { unfitBecause } from './template-layout.js';

/** The root a container starts from. */
export interface Template {
  rootPath: string;
  readonlyRoot: boolean;
  /** Directories of the host seen read-only inside, at the same path. */
  hostBinds: string[];
}

/** The template that shows the programs of the machine itself. */
export const HOST_TEMPLATE = 'host';
export const TEMPLATE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The templates of this node by name: those installed in a directory, and `host`, for development. */
export class Templates {
  private host: Template | undefined;

  constructor(
    /** Where `host` is made. */
    private readonly runDirectory: string,
    private readonly installed: string,
    private readonly allowHost: boolean,
  ) {}

  async prepare(): Promise<void> {
    if (this.allowHost) this.host = { rootPath: await makeHostRoot(this.runDirectory), readonlyRoot: true, hostBinds: ['/usr'] };
  }

  /** @throws {DriverError} `failed` for an unknown name */
  find(name: string): Template {
    const template = name === HOST_TEMPLATE ? this.host : this.installedAs(name);
    if (!template) throw new DriverError('failed', `This node has no template "${name.slice(0, 64)}"`);
    return template;
  }

  /** Why no sandbox can start from a template, with what mends it. */
  async problems(name: string): Promise<string[]> {
    if (name === HOST_TEMPLATE) {
      return this.allowHost ? [] : ['Template "host" shows sandboxes the programs of this machine, which is for development: npm run gatehouse -- sandbox template add <name> --tar <file>, and SANDBOX_TEMPLATE=<name>'];
    }
    const template = this.installedAs(name);
    if (!template) return [`There is no template "${name}" in ${this.installed}: npm run gatehouse -- sandbox template add ${TEMPLATE_NAME.test(name) ? name : '<name>'} --tar <file>`];
    const unfit = await unfitBecause(template.rootPath);
    return unfit.map(why => `Template "${name}" cannot be a root, ${why}: import it with npm run gatehouse -- sandbox template add <name> --tar <file>`);
  }

  private installedAs(name: string): Template | undefined {
    const rootPath = join(this.installed, name);
    const found = TEMPLATE_NAME.test(name) && lstatSync(rootPath, { throwIfNoEntry: false })?.isDirectory();
    return found ? { rootPath, readonlyRoot: true, hostBinds: [] } : undefined;
  }
}
