/**
 * What a chaos run leaves to be judged: what was published, what every client session saw, what was broken; and the verdict on it.
 * All times are readings of one monotonic clock, in ms.
 */

/** One publication of one publisher to one channel, in that publisher's order. */
export interface Published {
  readonly id: string;
  readonly channel: string;
  /** Order is promised per channel and publisher. */
  readonly publisher: string;
  /** Rises along one publisher's publications to one channel. */
  readonly n: number;
  readonly sentAt: number;
  /** `unknown`: it may or may not arrive, at any place. */
  outcome: 'confirmed' | 'unknown';
  /** It went through a router, which repeats its confirm window after a crash. */
  readonly viaRouter: boolean;
}

/** What a session saw, in the order in which it saw it. */
export type Entry =
  | { readonly kind: 'connected'; readonly at: number }
  /** `warren:session` */
  | { readonly kind: 'session'; readonly at: number; readonly resumed: boolean }
  | { readonly kind: 'subscribed'; readonly at: number; readonly channel: string }
  /** The client asked to leave; what is on its way may still come. */
  | { readonly kind: 'unsubscribed'; readonly at: number; readonly channel: string }
  /** `warren:continuity_lost` */
  | {
      readonly kind: 'lost';
      readonly at: number;
      readonly channel: string;
      readonly reason: string;
    }
  | Sighting;

export interface Sighting {
  readonly kind: 'event';
  readonly at: number;
  readonly channel: string;
  readonly id: string;
  readonly publisher: string;
  readonly n: number;
}

export interface SessionHistory {
  readonly name: string;
  /** The channels that it may ever see. */
  readonly channels: ReadonlySet<string>;
  readonly entries: readonly Entry[];
}

export interface Fault {
  readonly kind: string;
  readonly at: number;
  readonly detail: string;
}

export interface History {
  readonly publications: readonly Published[];
  readonly sessions: readonly SessionHistory[];
  readonly faults: readonly Fault[];
}

export interface Rules {
  /** A session repeats at most this many deliveries after a resume: those it may hold unacknowledged. */
  readonly prefetch: number;
  /** A router repeats at most this many publications after a crash. */
  readonly routerWindow: number;
  /** Kinds of fault after which a router may repeat. */
  readonly routerFaults: readonly string[];
  /** A run that shows less is invalid, whatever else it shows. */
  readonly demands: {
    readonly deliveries: number;
    readonly faults: Readonly<Record<string, number>>;
  };
}

export interface Finding {
  readonly session: string;
  readonly at: number;
  readonly channel: string;
  readonly id: string;
  readonly text: string;
}

export interface Verdict {
  /** Why the run proves nothing; empty for a valid one. */
  readonly invalid: readonly string[];
  /** Confirmed while the session was subscribed with continuity, never seen, and no gap declared. */
  readonly lost: readonly Finding[];
  /** Seen again outside what an acknowledgement or a router crash leaves open. */
  readonly duplicated: readonly Finding[];
  /** First seen after a later publication of the same publisher to the same channel. */
  readonly reordered: readonly Finding[];
  /** Never published, altered, of another channel, or before the channel's subscription succeeded on that connection. */
  readonly foreign: readonly Finding[];
  /** A subscription without a report of the session before it, or a first connection that claims to be a resumed one. */
  readonly misreported: readonly Finding[];
  /** Declared losses: continuity_lost, or `resumed: false` on any but the first connection. */
  readonly gaps: readonly Finding[];
  readonly counts: {
    /** First sightings. */
    readonly deliveries: number;
    /** Allowed repeats after a resume. */
    readonly repeats: number;
    /** Allowed repeats after a router fault. */
    readonly routerRepeats: number;
    readonly connections: number;
    readonly resumes: number;
    readonly confirmed: number;
    readonly unknown: number;
    readonly faults: Readonly<Record<string, number>>;
  };
}
