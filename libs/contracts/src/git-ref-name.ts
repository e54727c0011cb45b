import { TextRule } from './validation/rules.js';

/** git-check-ref-format(1), its rules 3 to 10 in order, and what its `--branch` adds: no hyphen first. Rule 1 is about the parts between slashes. */
const FORBIDDEN = [
  /\.\./,
  /[\u0000-\u0020\u007f~^:]/,
  /[?*[]/,
  /^\/|\/$|\/\//,
  /\.$/,
  /@\{/,
  /^@$/,
  /\\/,
  /^-/,
];
const FORBIDDEN_PART = /^\.|\.lock$/;

/** Whether a branch or tag may be called so. Rule 2 asks for a slash, which `refs/heads/` in front of a branch has. */
export const isGitRefName = (name: string): boolean =>
  name !== '' && !FORBIDDEN.some(forbidden => forbidden.test(name)) && !name.split('/').some(part => FORBIDDEN_PART.test(part));

/** The name of a branch or tag. */
export const IsGitRefName = () => TextRule('gitRefName', text => (isGitRefName(text) ? null : 'must be a valid ref name'));
