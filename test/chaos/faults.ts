/** What is broken, how, and in which order: a deck of faults that the seed shuffles. */
import type { Balancer } from '../support/balancer.ts';
import { eventually } from '../support/eventually.ts';
import type { Fault } from '../support/history-entries.ts';
import type { Fleet } from './fleet.ts';
import type { Page } from './page.ts';
import type { Random } from './random.ts';

export type FaultKind =
  /** SIGKILL of an edge, which is started again. */
  | 'edge-kill'
  /** SIGTERM and a new start of each edge in turn. */
  | 'deploy'
  /** SIGKILL of the router that works; the other takes over. */
  | 'router-kill'
  /** Sockets of pages are reset. */
  | 'page-cut'
  /** Sockets of pages become half-open. */
  | 'page-freeze'
  /** Sockets of pages become slow. */
  | 'page-delay'
  /** Pages leave a channel and join it again. */
  | 'rejoin'
  /** An edge's connections to the broker are reset. */
  | 'broker-cut'
  /** An edge's connections to the broker become half-open. */
  | 'broker-freeze';

export type Deck = Readonly<Partial<Record<FaultKind, number>>>;

export interface Stage {
  readonly fleet: Fleet;
  readonly pages: readonly Page[];
  readonly random: Random;
  readonly faults: Fault[];
}

/** Of each kind of process, so many stay alive. */
const survivors = 1;

/** The deck, shuffled. */
export function deal(deck: Deck, random: Random): FaultKind[] {
  const cards = Object.entries(deck).flatMap(([kind, count]) =>
    Array.from({ length: count }, () => kind as FaultKind),
  );
  return random.shuffle(cards);
}

/** Resolves when it is done; what was killed is being started again then. */
export async function inject(stage: Stage, kind: FaultKind): Promise<void> {
  const { fleet, random } = stage;
  switch (kind) {
    case 'edge-kill': {
      const victim = random.pick(await spare(() => fleet.edges())) ?? 0;
      note(stage, kind, `edge ${victim}`);
      await fleet.kill('edge', victim);
      return;
    }
    case 'router-kill': {
      const [victim = 0] = await spare(() => fleet.routers());
      note(stage, kind, `router ${victim}`);
      await fleet.kill('router', victim);
      return;
    }
    case 'deploy': {
      await fleet.settled();
      note(stage, kind, 'every edge in turn');
      for (const edge of random.shuffle(fleet.edges())) await fleet.redeploy('edge', edge);
      return;
    }
    case 'rejoin': {
      const pages = random.sample(stage.pages, random.between(1, 5));
      note(stage, kind, pages.map(({ name }) => name).join(', '));
      for (const page of pages) {
        const channel = random.pick([...page.channels]);
        if (channel !== undefined) page.rejoin(channel);
      }
      return;
    }
    case 'page-cut':
    case 'page-freeze':
    case 'page-delay': {
      const links = random.sample(fleet.pages.links(), random.between(1, 6));
      const delayMs = random.between(20, 200);
      note(stage, kind, `${links.length} sockets`);
      for (const link of links) {
        if (kind === 'page-cut') link.cut();
        else if (kind === 'page-freeze') link.blackhole();
        else link.delay(delayMs);
      }
      return;
    }
    case 'broker-cut':
    case 'broker-freeze': {
      const victim = random.pick(await spare(() => fleet.edges())) ?? 0;
      note(stage, kind, `edge ${victim}`);
      breakAll(fleet.brokerLink('edge', victim), kind === 'broker-cut');
    }
  }
}

function breakAll(balancer: Balancer, cut: boolean): void {
  for (const link of balancer.links()) {
    if (cut) link.cut();
    else link.blackhole();
  }
}

/** Those that are up, once there are so many that one more may fail. */
function spare(up: () => readonly number[]): Promise<readonly number[]> {
  return eventually(() => {
    const all = up();
    if (all.length <= survivors) throw new Error('the last one of its kind must live');
    return all;
  }, 60_000);
}

function note({ faults }: Stage, kind: FaultKind, detail: string): void {
  faults.push({ kind, at: performance.now(), detail });
}
