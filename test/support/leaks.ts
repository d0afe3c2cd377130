/**
 * Root hooks that fail the run when a test leaves something open that keeps the process alive: a socket, a server, a timer, a
 * child process. So mocha needs no `--exit`, and a forgotten `close()` is noticed in the run that forgot it.
 */
import type { Context } from 'mocha';

/** Kind of resource, as Node names it, to the number of them that are open. */
type Counts = ReadonlyMap<string, number>;

/** How long sockets and processes that are closing already may take. */
const graceMs = 3_000;
const pollMs = 25;
/** What leaked would keep the failed run from ending: time for the reporter to finish. */
const exitAfterMs = 1_000;

/** Disk and DNS work ends by itself. */
const endsByItself = new Set([
  'CloseReq',
  'FSReqCallback',
  'FSReqPromise',
  'GetAddrInfoReqWrap',
  'Immediate',
]);

let baseline: Counts = new Map();
const history: { readonly test: string; readonly counts: Counts }[] = [];

export const mochaHooks = {
  beforeAll() {
    // Node opens these on first use; then they stay open.
    void [process.stdin, process.stdout, process.stderr];
    baseline = openResources();
  },
  afterEach(this: Context) {
    history.push({ test: this.currentTest?.fullTitle() ?? 'a test', counts: openResources() });
  },
  async afterAll(this: Context) {
    const deadline = performance.now() + graceMs;
    await Promise.resolve();
    // Mocha times this hook from its first await; without that timer, any timer seen below is a test's.
    this.runnable().clearTimeout();
    while (leaks().length > 0 && performance.now() < deadline) {
      // A timer counts as open while its own callback runs, so look again only afterwards.
      await new Promise((resolve) => setTimeout(() => setImmediate(resolve), pollMs));
    }
    const found = leaks();
    if (found.length > 0) {
      setTimeout(() => process.exit(1), exitAfterMs).unref();
      throw new Error(`left open at the end of the run:\n${found.map(describeLeak).join('\n')}`);
    }
  },
};

function openResources(): Counts {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (!endsByItself.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

interface Leak {
  readonly kind: string;
  readonly before: number;
  readonly after: number;
}

function leaks(): Leak[] {
  return [...openResources()]
    .map(([kind, after]) => ({ kind, before: baseline.get(kind) ?? 0, after }))
    .filter(({ before, after }) => after > before);
}

/** Names the test since which the number has never been back where it was at the start. */
function describeLeak({ kind, before, after }: Leak): string {
  const lastClean = history.findLastIndex(({ counts }) => (counts.get(kind) ?? 0) <= before);
  const suspect = history[lastClean + 1];
  const since = suspect === undefined ? '' : `, first seen after "${suspect.test}"`;
  return `  ${after - before} × ${kind}${since}`;
}
