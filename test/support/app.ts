/** An app as warren.yaml would give it, with what a test wants different. */
import { parseAppId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';

export function testApp(overrides: Partial<AppConfig> = {}): AppConfig {
  const id = parseAppId('app-id');
  if (id === undefined) throw new Error('not an app id');
  return {
    id,
    key: 'app-key',
    secret: 'app-secret',
    allowedOrigins: ['*'],
    limits: defaultLimits,
    enabled: true,
    clientEvents: false,
    subscriptionCount: false,
    webhooks: [],
    authorizationTimeoutMs: 0,
    ...overrides,
  };
}
