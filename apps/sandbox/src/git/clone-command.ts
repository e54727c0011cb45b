import type { CloneRepository } from '@gatehouse/contracts';

/** What the script ends with where git has not been asked; git itself uses none of them. */
export const CLONE_EXIT = { noGit: 80, occupied: 81, noTarget: 82 } as const;

/** First line of the script's output where it has made the target itself. */
export const MADE_TARGET = 'made';

/**
 * Arguments: the target, its parent, then those of git. Stdin: one line with the token, if any; it is moved to descriptor 3,
 * which the processes below inherit. Output: whether the target was made or was there, then the branch checked out, if any.
 */
const SCRIPT = `exec 3<&0 </dev/null
target=$1 parent=$2; shift 2
command -v git >/dev/null || exit ${CLONE_EXIT.noGit}
mkdir -p -- "$parent"
if mkdir -- "$target"; then echo ${MADE_TARGET}
elif [ -d "$target" ] && [ "$(ls -A -- "$target" | wc -c)" -eq 0 ]; then echo empty
elif [ -e "$target" ] || [ -L "$target" ]; then exit ${CLONE_EXIT.occupied}
else exit ${CLONE_EXIT.noTarget}; fi
git "$@" >/dev/null || exit
git --git-dir="$target/.git" symbolic-ref --quiet --short HEAD || :`;

/**
 * A credential helper (gitcredentials(7)) of shell builtins only, so that the token becomes nobody's argument and nobody's
 * environment: it goes from descriptor 3 to the pipe git reads. Given once, it is used up.
 */
const TOKEN_FROM_DESCRIPTOR_3 = '!f() { test "$1" = get && IFS= read -r token <&3 && printf "username=x-access-token\\npassword=%s\\n" "$token"; }; f';

/** What the sandbox's user has configured is not looked at: it could keep the token, or run something with it. */
export const CLONE_ENV: Readonly<Record<string, string>> = {
  GIT_ALLOW_PROTOCOL: 'http:https',
  GIT_ATTR_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  // Also of ~/.netrc, and of the configuration of a git that does not know the above.
  HOME: '/nonexistent',
  XDG_CONFIG_HOME: '/nonexistent',
  // Failures are told apart by git's own English words.
  LC_ALL: 'C',
};

/** @returns the program and its arguments; the token is in none of them. */
export const cloneCommand = ({ url, depth, branch, token }: Pick<CloneRepository, 'url' | 'depth' | 'branch' | 'token'>, target: string, parent: string): [string, ...string[]] => {
  // As it was parsed when it was checked: git might read another host out of an odd spelling.
  const { href, origin } = new URL(url);
  return [
    '/bin/sh',
    '-c',
    SCRIPT,
    'clone',
    target,
    parent,
    ...settings({
      'credential.helper': '',
      ...(token === undefined ? {} : { [`credential.${origin}.helper`]: TOKEN_FROM_DESCRIPTOR_3 }),
      'core.hooksPath': '/dev/null',
      'core.fsmonitor': 'false',
      // Only before a credential is asked for, which is then asked for anew, by the host that was led to.
      'http.followRedirects': 'initial',
    }),
    'clone',
    '--quiet',
    '--no-recurse-submodules',
    ...(depth === undefined ? [] : [`--depth=${depth}`]),
    ...(branch === undefined ? [] : [`--branch=${branch}`]),
    '--',
    href,
    target,
  ];
};

/** Of this command, not of the repository it makes. */
const settings = (values: Readonly<Record<string, string>>): string[] => Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
