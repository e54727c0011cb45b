import type { Agent, AgentVersion } from '@gatehouse/contracts';
import { definitionView } from './agent-definition.js';
import type { AgentRow, AgentVersionRow } from './agents.store.js';

export const agentView = ({ id, slug, version, latestVersion, definition, envKeys, createdAt, updatedAt }: AgentRow): Agent => ({
  id,
  slug,
  version,
  latestVersion,
  ...definitionView(definition),
  envKeys,
  createdAt: createdAt.toISOString(),
  updatedAt: updatedAt.toISOString(),
});

export const agentVersionView = ({ version, active, keyId, createdAt, definition, envKeys }: AgentVersionRow): AgentVersion => ({
  version,
  active,
  keyId,
  createdAt: createdAt.toISOString(),
  definition: { ...definitionView(definition), envKeys },
});
