/**
 * What edges say to each other over the bus: JSON documents of the types below. They come from processes that share the broker, so
 * a message that is none of them is refused as a value and costs nothing else.
 */
import type { AppId, ChannelKey, ChannelName } from './ids.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan } from './json-guard.ts';

/** Sent to all, again and again: this edge lives. */
export interface Hello {
  readonly type: 'hello';
  /** The sender has just come, or come back: whoever hears it answers with a hello of its own. */
  readonly greet: boolean;
  /** Per app: open sockets, and API events published in the second before. */
  readonly load: readonly (readonly [app: AppId, connections: number, apiEvents: number])[];
}

/** Sent to all: this edge leaves in order. */
export interface Bye {
  readonly type: 'bye';
}

/** One member of a roster, as one edge holds it: `[user, info, since]`, info being JSON text or null, since in ms since 1970. */
export type RosterMember = readonly [user: string, info: string | null, since: number];

/**
 * One change of what the sender holds in a roster, to those that listen to its key. Versions of a sender only grow. `previous` is the
 * version that the change follows; 0 where the sender held nothing before.
 */
export interface RosterChange {
  readonly type: 'roster-change';
  readonly key: ChannelKey;
  readonly previous: number;
  readonly version: number;
  readonly user: string;
  /** Null: the user has left this edge. */
  readonly member: RosterMember | null;
}

/** All that the sender holds in a roster at a version, in parts that follow each other. */
export interface RosterState {
  readonly type: 'roster-state';
  readonly key: ChannelKey;
  readonly version: number;
  readonly part: number;
  readonly last: boolean;
  readonly members: readonly RosterMember[];
}

/** Asks for the sender's state of each key: answered with roster-state where it holds members, with roster-versions where not. */
export interface RosterAsk {
  readonly type: 'roster-ask';
  readonly keys: readonly ChannelKey[];
}

/** `[key, version, members]` of what the sender holds: a receiver that knows less asks; with 0 members it needs not to. */
export interface RosterVersions {
  readonly type: 'roster-versions';
  readonly entries: readonly (readonly [key: ChannelKey, version: number, members: number])[];
}

/**
 * What the sender holds for keys that the receiver keeps the sum of: `[key, count, watch, known]`. Absolute, so it may come again.
 * `watch`: the sender wants to hear totals. `known`: it has told an owner of this key before, so nothing has begun with this report.
 */
export interface DirectoryReport {
  readonly type: 'directory-report';
  /** What the sender reported to the receiver before is void: it holds nothing but what follows from here on. */
  readonly fresh: boolean;
  readonly entries: readonly (readonly [
    key: string,
    count: number,
    watch: boolean,
    known: boolean,
  ])[];
}

/**
 * Keys that have been announced as present and not as gone, with the last total that it told, from the edge that owned them to the
 * one that owns them now. What is not among them was not announced.
 */
export interface DirectoryHandover {
  readonly type: 'directory-handover';
  readonly entries: readonly (readonly [key: string, total: number | null])[];
  /** How often it may still be passed on, where the receiver does not own a key either; 0 for what its new backup is told. */
  readonly hops: number;
}

/** The sums of keys that the receiver watches. */
export interface DirectoryTotals {
  readonly type: 'directory-totals';
  readonly entries: readonly (readonly [key: string, total: number])[];
}

export type Question =
  /** Which channels are occupied. `names` limits it to these; `users` asks for the user ids of presence channels too. */
  | {
      readonly about: 'channels';
      readonly app: AppId;
      readonly prefix: string;
      readonly names: readonly ChannelName[] | null;
      readonly users: boolean;
    }
  /** Closes the sockets that are signed in as the user. */
  | { readonly about: 'terminate'; readonly app: AppId; readonly user: string };

/** To all; everyone answers the sender. */
export interface Ask {
  readonly type: 'ask';
  readonly id: number;
  readonly question: Question;
}

/** `[channel, subscriptions, users]`; users is null where nobody asked, or the channel has none. */
export type ChannelAnswer = readonly [
  channel: ChannelName,
  subscriptions: number,
  users: readonly string[] | null,
];

/** One part of an answer; parts follow each other. */
export interface Answer {
  readonly type: 'answer';
  readonly id: number;
  readonly last: boolean;
  readonly channels: readonly ChannelAnswer[];
  /** Sockets that were closed. */
  readonly closed: number;
}

/** To all: a session with continuity has a connection here, made at `at` (ms since 1970). An older one elsewhere lets go. */
export interface SessionClaim {
  readonly type: 'session-claim';
  /** Digest of the session id. */
  readonly key: string;
  readonly at: number;
}

/** From a router to all: closes the sockets that are signed in as the user or members of a presence channel as this user. Nobody answers. */
export interface Disconnect {
  readonly type: 'disconnect';
  readonly app: AppId;
  readonly user: string;
}

export type EdgeMessage =
  | Hello
  | Bye
  | RosterChange
  | RosterState
  | RosterAsk
  | RosterVersions
  | DirectoryReport
  | DirectoryHandover
  | DirectoryTotals
  | Ask
  | Answer
  | SessionClaim
  | Disconnect;

export function encodeEdgeMessage(message: EdgeMessage): Buffer {
  return Buffer.from(JSON.stringify(message), 'utf8');
}

/** Whatever has parts is sent in messages far below this; a larger one is nobody's, and parsing it would stop the process for long. */
export const maxEdgeMessageBytes = 16 * 1_048_576;

/** `undefined` for whatever is not one of the messages above, whole and of the right types. */
export function decodeEdgeMessage(body: Buffer): EdgeMessage | undefined {
  if (body.length > maxEdgeMessageBytes || nestsDeeperThan(body, maxJsonDepth)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const { type } = value;
  if (typeof type !== 'string' || !Object.hasOwn(checks, type)) return undefined;
  return checks[type as EdgeMessage['type']](value) ? (value as unknown as EdgeMessage) : undefined;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value !== '';
const isTextOrEmpty: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isBoolean: Check = (value) => typeof value === 'boolean';
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const tuple =
  (...parts: readonly Check[]): Check =>
  (value) =>
    Array.isArray(value) &&
    value.length === parts.length &&
    parts.every((part, index) => part(value[index]));
const fields =
  (checked: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isJsonObject(value) &&
    Object.entries(checked).every(
      ([name, check]) => Object.hasOwn(value, name) && check(value[name]),
    );

const isMember = tuple(isText, orNull(isTextOrEmpty), isTime);
const isChannelsQuestion = fields({
  app: isText,
  prefix: isTextOrEmpty,
  names: orNull(listOf(isText)),
  users: isBoolean,
});
const isUserOfApp = fields({ app: isText, user: isText });
const isQuestion: Check = (value) => {
  if (!isJsonObject(value)) return false;
  if (value['about'] === 'channels') return isChannelsQuestion(value);
  return value['about'] === 'terminate' && isUserOfApp(value);
};

const checks: Readonly<Record<EdgeMessage['type'], Check>> = {
  hello: fields({ greet: isBoolean, load: listOf(tuple(isText, isNumber, isNumber)) }),
  bye: () => true,
  'roster-change': fields({
    key: isText,
    previous: isNumber,
    version: isNumber,
    user: isText,
    member: orNull(isMember),
  }),
  'roster-state': fields({
    key: isText,
    version: isNumber,
    part: isNumber,
    last: isBoolean,
    members: listOf(isMember),
  }),
  'roster-ask': fields({ keys: listOf(isText) }),
  'roster-versions': fields({ entries: listOf(tuple(isText, isNumber, isNumber)) }),
  'directory-report': fields({
    fresh: isBoolean,
    entries: listOf(tuple(isText, isNumber, isBoolean, isBoolean)),
  }),
  'directory-handover': fields({
    entries: listOf(tuple(isText, orNull(isNumber))),
    hops: isNumber,
  }),
  'directory-totals': fields({ entries: listOf(tuple(isText, isNumber)) }),
  'session-claim': fields({ key: isText, at: isNumber }),
  disconnect: isUserOfApp,
  ask: fields({ id: isNumber, question: isQuestion }),
  answer: fields({
    id: isNumber,
    last: isBoolean,
    channels: listOf(tuple(isText, isNumber, orNull(listOf(isText)))),
    closed: isNumber,
  }),
};
