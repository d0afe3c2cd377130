/**
 * warren.yaml as the program sees it: checked, defaults filled in, ids parsed. The text form and its checks are in
 * `contracts/warren.schema.json` and `config/`.
 */
import type { AppId } from './ids.ts';
import type { AppLimits } from './pusher/limits.ts';
import type { WebhookEventName } from './pusher/webhook.ts';

export interface WarrenConfig {
  /** At least one; ids and keys are unique. */
  readonly apps: readonly AppConfig[];
  /** In file order, which is the order in which they apply. */
  readonly events: readonly EventRule[];
  /** In file order; the first whose name matches decides. */
  readonly channels: readonly ChannelRule[];
  readonly auth?: AuthConfig;
  readonly egress: EgressConfig;
  readonly ingress?: IngressConfig;
}

/** What services hear of clients, on the exchange `warren.clients`. */
export interface EgressConfig {
  /** What clients of apps with `clientEvents: true` send. */
  readonly clientEvents: boolean;
  /** Members of presence channels that come and go. */
  readonly presence: boolean;
  /** Channels that get their first subscriber or lose their last one. */
  readonly occupancy: boolean;
}

/** Ways in for domain events beside the exchange of the settings. */
export interface IngressConfig {
  /** Existing exchanges, each once. */
  readonly exchanges: readonly string[];
  /** Existing queues, each once. */
  readonly queues: readonly string[];
  readonly redis?: RedisIngress;
  /** `POST /apps/<id>/domain-events` is open to whoever holds the secret of the app. */
  readonly http?: true;
}

/** Messages that Redis publishes become domain events. */
export interface RedisIngress {
  /** Whose channels the built-in rule publishes to. */
  readonly app: AppId;
  readonly server: RedisServer;
  /** What a channel's name begins with; not part of the name of the event. */
  readonly prefix: string;
  /** Redis pattern (`*`, `?`, `[…]`) over what follows the prefix. */
  readonly channels: string;
}

export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
}

export interface AppConfig {
  readonly id: AppId;
  readonly key: string;
  readonly secret: string;
  /** Exact origins, or `*`. Used for the WebSocket handshake and for CORS on the authorization endpoint. */
  readonly allowedOrigins: readonly string[];
  readonly limits: AppLimits;
  /** False: sockets are closed with 4003, the HTTP API answers 403. */
  readonly enabled: boolean;
  /** Clients may send `client-…` events to each other on private and presence channels. */
  readonly clientEvents: boolean;
  /** Subscribers hear how many they are (`pusher:subscription_count`). */
  readonly subscriptionCount: boolean;
  readonly webhooks: readonly WebhookConfig[];
  /** A socket that has neither signed in nor joined a channel that needs authorization by then is closed with 4009; 0: never, else 1,000 to 3,600,000. */
  readonly authorizationTimeoutMs: number;
}

/** An HTTP target that hears what happens. */
export interface WebhookConfig {
  /** http or https, as URL parsers write it; without credentials and fragment. At most 10 per app, each URL once. */
  readonly url: string;
  /** Only these; at least one, each once. */
  readonly events: readonly WebhookEventName[];
  /** Several events in one request where they wait already; else one each. */
  readonly batch: boolean;
}

/** What becomes of one domain event: `to`, then `unsubscribe`, then `disconnect`; at least one of them. */
export interface EventRule {
  /** Place in the file, from 0: names the rule in messages. One that is built in comes after those of the file. */
  readonly index: number;
  /** The part of the file that brings this rule. It applies to events that no rule of the file is about by the first word of its pattern. */
  readonly builtIn?: 'ingress.redis';
  readonly app: AppId;
  /** AMQP topic pattern over the routing key. */
  readonly on: string;
  /** What the payload of an event that the rule takes must be; else the event is refused. One object for all rules that name the same file. */
  readonly schema?: EventSchema;
  /** CEL over `data`, `event`, `headers`, `key`; an error counts as no. */
  readonly when?: string;
  /** Templates that yield channel names, users or sockets; may be empty. */
  readonly to: readonly string[];
  /** Template of the event name at the client. */
  readonly as?: string;
  /** Map of templates, or one path as a template; absent: the payload, byte for byte. */
  readonly data?: string | Readonly<Record<string, string>>;
  /** Template of the socket id that is left out. */
  readonly except?: string;
  readonly unsubscribe?: {
    /** Template of a user id. */
    readonly user: string;
    /** Template that yields a channel name. */
    readonly channel: string;
  };
  /** Template of the user id whose sockets are closed. */
  readonly disconnect?: string;
}

/** A JSON Schema (2020-12) in a file of its own, checked. */
export interface EventSchema {
  /** As warren.yaml names it. */
  readonly path: string;
  readonly document: boolean | Readonly<Record<string, unknown>>;
}

/** On which road a channel reaches its subscribers: `auto` lets the edge choose. */
export type DeliveryRule = 'auto' | 'session' | 'edge';

/** Who may subscribe to the channels that a name pattern describes, and how these are delivered. */
export interface ChannelRule {
  readonly index: number;
  readonly app: AppId;
  /**
   * A channel name with `{parameters}`; each stands for one or more characters other than a dot. That of a public channel only on a
   * rule without `allow`; it then matches public channels alone.
   */
  readonly name: string;
  /** CEL over `claims`, `user` and the parameters; an error counts as no. Absent: nobody is allowed by this rule, unless `authorizer` is. */
  readonly allow?: string;
  /** Is asked once `allow`, where there is one, has said yes; then both have. */
  readonly authorizer?: AuthorizerConfig;
  /** Templates over `claims` that make the user_info of a presence channel's member. */
  readonly member?: Readonly<Record<string, string>>;
  /** How long a member of a presence channel may be away before it counts as gone, 0 to 60,000; default 0. */
  readonly presenceGraceMs?: number;
  /** `session`: by a queue per connection; `edge`: by the queue that all of an edge share. Default `auto`. A rule has at least one of `allow`, `authorizer`, `presenceGraceMs` and this. */
  readonly delivery?: DeliveryRule;
}

/** A service that says who may subscribe. */
export interface AuthorizerConfig {
  /** https, or http within private networks; without credentials and fragment. */
  readonly url: string;
  /** From the request to the end of the answer, waiting for a turn included. */
  readonly timeoutMs: number;
  /** Requests under way from one edge; ten times as many wait. */
  readonly concurrency: number;
  /** How long a yes is kept; 0: not at all. */
  readonly cacheSeconds: number;
  /** How long a no is kept; 0: not at all. */
  readonly refusalCacheSeconds: number;
}

export interface AuthConfig {
  readonly jwt: JwtConfig;
}

/** What is checked of a token beside its signature and its end (`exp`), which each must have. */
interface JwtClaims {
  /** Always there with public keys. */
  readonly issuer?: string;
  /** Always there with public keys. */
  readonly audience?: string;
  /** The claim that holds the user id. */
  readonly userClaim: string;
}

interface SharedSecret {
  /** Shared secret of HS256. */
  readonly secret: string;
  readonly algorithms: readonly ['HS256'];
}

interface OnePublicKey {
  /** SPKI in PEM. */
  readonly publicKey: string;
  /** All of them go with the key. */
  readonly algorithms: readonly AsymmetricAlgorithm[];
}

interface KeySet {
  /** Of a JSON Web Key Set: https, or http to this machine. */
  readonly jwksUri: string;
  readonly algorithms: readonly AsymmetricAlgorithm[];
}

export type JwtConfig = JwtClaims & (SharedSecret | OnePublicKey | KeySet);

export type AsymmetricAlgorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA';

export type JwtAlgorithm = 'HS256' | AsymmetricAlgorithm;
