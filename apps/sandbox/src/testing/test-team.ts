import { type Caller, type CreatedSandbox, type ExecResult, notFound, type Sandbox } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import type { SandboxRequest } from '../sandboxes/provision-sandbox.js';
import type { FakeBox } from './fake-driver.js';
import { call, definition, makeCaller, request, type TestNode } from './test-node.js';

/** A team with an agent named `reviewer` on a node, and short names for what it does. */
export const makeTeam = async (database: Database, node: TestNode) => {
  const caller = makeCaller();
  const put = (slug: string, body: object = {}) => node.agents.put(caller, definition(slug, body), call);
  const rowOf = (sandboxId: string) => database.sandbox.findFirstOrThrow({ where: { teamId: caller.teamId, sandboxId } });
  await put('reviewer');
  return {
    caller,
    put,
    create: (body: object = {}, by: Caller = caller): Promise<CreatedSandbox> => node.sandboxes.create(by, request({ agent: 'reviewer', ...body }), call),
    /** As chat makes them: the caller chooses the id. */
    createNamed: async (slug: string, sandboxRequest: SandboxRequest): Promise<CreatedSandbox> => {
      const agent = await node.agentsStore.findForSandbox(caller.teamId, slug);
      if (agent === null) throw notFound('Agent');
      return node.provisioning.create(agent, sandboxRequest, call.signal);
    },
    exec: (id: string, body: object = {}, by: Caller = caller): Promise<ExecResult> => node.sandboxes.exec(by, { id, command: 'true', ...body }),
    get: (id: string, by: Caller = caller): Promise<Sandbox> => node.sandboxes.get(by, { id }),
    rowOf,
    boxOf: async (sandboxId: string): Promise<FakeBox> => {
      const box = node.driver.boxes.get((await rowOf(sandboxId)).id);
      if (box === undefined) throw new Error('The sandbox has no box');
      return box;
    },
  };
};
export type TestTeam = Awaited<ReturnType<typeof makeTeam>>;

/** Boxes, disks and removals that are left on a node; all empty when it is clean. */
export const leftOn = async (node: TestNode): Promise<readonly [boxes: number, disks: number, removals: number]> => [node.driver.boxes.size, node.driver.disks.size, (await node.rows.removals()).length];
export const NOTHING = [0, 0, 0] as const;

/** A promise that a test settles. */
export const gate = (): { readonly promise: Promise<void>; readonly open: () => void } => {
  let open: () => void = () => undefined;
  const promise = new Promise<void>(resolve => (open = resolve));
  return { promise, open };
};
