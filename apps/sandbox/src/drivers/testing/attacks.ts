/** Programs an attacker might run. Perl, because every Debian has it (perl-base) and it can make any system call. */

/** Prints the errno of each call, one per line: 0 where it worked. Arguments are zeros, or those given. */
export function systemCalls(calls: readonly (readonly [number, ...(number | string)[]])[]): string {
  const lines = calls.map(([number, ...args]) => `$! = 0; my $r = syscall(${[number, ...args, ...Array<number>(6 - args.length).fill(0)].join(', ')}); print $r == -1 ? $! + 0 : 0, "\\n";`);
  return perl(lines.map(line => `{ ${line} }`).join('\n'));
}

/** A child that got through would go on with the program: it must end at once instead. */
export function cloneWith(flags: string): string {
  return perl(`my $r = syscall(56, ${flags} | 17, 0, 0, 0, 0); exit 0 if $r == 0; print $r == -1 ? $! + 0 : 0;`);
}

/** Prints the errno of `socket(family, type, protocol)`, or 0. */
export function openSocket(family: string, type: number, protocol = 0): string {
  return perl(`my $r = syscall(41, ${family}, ${type}, ${protocol}); print $r == -1 ? $! + 0 : 0;`);
}

/** Asks the kernel over netlink to take down the loopback device; prints the answer's errno. */
export const takeLoopbackDown = perl(`
  use Socket;
  socket(my $s, 16, SOCK_RAW, 0) or die $!;
  my $body = pack("C x S i I I", 0, 0, 1, 0, 1);
  send($s, pack("L S S L L", 16 + length $body, 16, 5, 1, 0) . $body, 0) or die $!;
  recv($s, my $answer, 4096, 0);
  print -unpack("l", substr($answer, 16, 4));
`);

/** Machine code for getpid by the 32-bit entry of the kernel, run in place. */
export const thirtyTwoBitCall = perl(`
  my $code = "\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3";
  my $at = syscall(9, 0, 4096, 7, 0x22, -1, 0);
  pipe(my $out, my $in); syswrite($in, $code);
  syscall(0, fileno($out), $at, length $code);
  require DynaLoader;
  DynaLoader::boot_DynaLoader("DynaLoader") if defined &DynaLoader::boot_DynaLoader && !defined &DynaLoader::dl_install_xsub;
  DynaLoader::dl_install_xsub("main::run", $at);
  main::run();
  print "lived";
`);

/** The x32 getpid. */
export const x32Call = perl(`syscall(0x40000000 + 39); print "lived";`);

/** Prints ok or the reason why a TCP connection cannot be made. */
export function connectTcp(host: string, port: number): string {
  return perl(`use Socket; socket(my $s, AF_INET, SOCK_STREAM, 0); $SIG{ALRM} = sub { print "timeout"; exit }; alarm 5; print connect($s, pack_sockaddr_in(${port}, inet_aton("${host}"))) ? "ok" : $! + 0;`);
}

/** Prints ok or the errno of a connection to a unix socket; a leading \\0 means an abstract one. */
export function connectUnix(path: string): string {
  return perl(`use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, pack_sockaddr_un("${path}")) ? "ok" : $! + 0;`);
}

/** Writes one byte to a file and prints ok or the errno. */
export function writeTo(path: string): string {
  return perl(`open(my $f, "+<", "${path}") or do { print $! + 0; exit }; print syswrite($f, "1") ? "ok" : $! + 0;`);
}

/** Reads from a file and prints its beginning, or the errno in brackets. */
export function readFrom(path: string): string {
  return perl(`open(my $f, "<", "${path}") or do { print "[", $! + 0, "]"; exit }; defined sysread($f, my $b, 4096) or do { print "[", $! + 0, "]"; exit }; print $b;`);
}

/** Makes empty files until the kernel refuses, and prints the errno and whether there were more than a few. */
export function fillWithEmptyFiles(directory: string): string {
  return perl(`my $n = 0; for (;;) { open(my $f, ">", "${directory}/fill-$n") or last; close $f; $n++; } print $! + 0, " ", $n > 100 ? "many" : "few"; unlink "${directory}/fill-$_" for 0 .. $n;`);
}

/** Eats memory until the kernel ends it, with an oom score of its own choice. */
export function eatMemory(mebibytes: number, oomScore?: number): string {
  const choose = oomScore === undefined ? '' : `open(my $f, ">", "/proc/self/oom_score_adj") and syswrite($f, "${oomScore}") and close $f;`;
  return perl(`${choose} my @held; push @held, "x" x 1048576 for 1 .. ${mebibytes}; sleep 30;`);
}

/** Prints the numbers of its open descriptors without opening one to look. */
export const openDescriptors = perl('print join " ", grep { -e "/proc/self/fd/$_" } 0 .. 4095');

export const forkBomb = 'bomb() { bomb | bomb & }; bomb';

export function perl(program: string): string {
  return `exec perl -e ${quote(program)}`;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Numbers on x86-64 of the calls the profile refuses with EPERM. */
export const REFUSED_NUMBERS: Readonly<Record<string, number>> = {
  acct: 163, add_key: 248, adjtimex: 159, bpf: 321, chroot: 161, clock_adjtime: 305, clock_settime: 227, create_module: 174, delete_module: 176,
  fanotify_init: 300, fanotify_mark: 301, finit_module: 313, fsconfig: 431, fsmount: 432, fsopen: 430, fspick: 433, init_module: 175, ioperm: 173,
  iopl: 172, kcmp: 312, kexec_file_load: 320, kexec_load: 246, keyctl: 250, lookup_dcookie: 212, mbind: 237, memfd_secret: 447, migrate_pages: 256,
  modify_ldt: 154, mount: 165, mount_setattr: 442, move_mount: 429, move_pages: 279, name_to_handle_at: 303, open_by_handle_at: 304, open_tree: 428,
  perf_event_open: 298, pidfd_getfd: 438, pivot_root: 155, process_madvise: 440, process_mrelease: 448, process_vm_readv: 310, process_vm_writev: 311,
  ptrace: 101, quotactl: 179, quotactl_fd: 443, reboot: 169, request_key: 249, set_mempolicy: 238, set_mempolicy_home_node: 450, setdomainname: 171,
  sethostname: 170, setns: 308, settimeofday: 164, swapoff: 168, swapon: 167, syslog: 103, umount2: 166, unshare: 272, userfaultfd: 323, vhangup: 153,
};

/** statmount, listmount, open_tree_attr, file_getattr, one that does not exist, clone3, io_uring_setup. */
export const UNKNOWN_NUMBERS = [457, 458, 467, 468, 600, 435, 425];

/** Exchanges a directory with a link to `outside`, and back, for ever: at any moment there is one or the other (renameat2(2)). */
export function swapWithLink(directory: string, outside: string): string {
  return perl(`symlink("${outside}", "${directory}.aside") or die; for (;;) { syscall(316, -100, "${directory}", -100, "${directory}.aside", 2) == 0 or die $! }`);
}

/** Makes files and directories in one directory for ever, in the way of whoever removes it. */
export function keepAdding(directory: string): string {
  return perl(`for (my $n = 0; ; $n++) { mkdir "${directory}"; mkdir "${directory}/d$n"; open(my $f, ">", "${directory}/d$n/f") and close $f; open($f, ">", "${directory}/f$n") and close $f; }`);
}

/** Fills a directory with names of very few files. */
export function makeEntries(directory: string, count: number): string {
  return perl(`mkdir "${directory}"; my $of; for (my $n = 0; $n < ${count}; $n++) { if ($n % 50000 == 0) { $of = "${directory}/n$n"; open(my $f, ">", $of) or die $!; next } link($of, "${directory}/n$n") or die $! }`);
}

/** Directories in directories, farther down than any path can name. */
export function nest(directory: string, levels: number): string {
  return perl(`mkdir "${directory}"; chdir "${directory}"; for (1 .. ${levels}) { mkdir "deeper" or die $!; chdir "deeper" or die $! } open(my $f, ">", "bottom")`);
}
