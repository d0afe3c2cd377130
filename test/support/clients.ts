/** Stock clients: pusher-js and Laravel Echo as an application makes them. */
import EchoModule from 'laravel-echo';
import PusherModule from 'pusher-js';

// CommonJS whose types promise a `default` that Node does not make.
const Pusher = PusherModule as unknown as typeof PusherModule.default;
const Echo = EchoModule;

export type PusherClient = InstanceType<typeof Pusher>;

export function openPusher(port: number, options: object = {}): PusherClient {
  return new Pusher('app-key', {
    cluster: '',
    wsHost: '127.0.0.1',
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    ...options,
  });
}

export function openEcho(broadcaster: 'pusher' | 'reverb', port: number, options: object = {}) {
  return new Echo({
    broadcaster,
    Pusher,
    key: 'app-key',
    ...(broadcaster === 'pusher' ? { cluster: 'mt1' } : {}),
    wsHost: '127.0.0.1',
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    authEndpoint: `http://127.0.0.1:${port}/broadcasting/auth`,
    ...options,
  } as unknown as ConstructorParameters<typeof Echo>[0]);
}

interface Subscribable {
  readonly subscribed: boolean;
  bind(event: string, call: (data: unknown) => void): unknown;
}

/** Resolves with the first event of this name on the channel. */
export function first(channel: Pick<Subscribable, 'bind'>, event: string): Promise<unknown> {
  return new Promise((resolve) => channel.bind(event, resolve));
}

export function subscribed(channel: Subscribable): Promise<void> {
  if (channel.subscribed) return Promise.resolve();
  return new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', () => resolve());
    channel.bind('pusher:subscription_error', (error) =>
      reject(new Error(`subscription refused: ${JSON.stringify(error)}`)),
    );
  });
}
