/** What to subscribe to: the prefix is text, the rest a pattern of Redis. */

/** @param prefix taken literally, whatever it holds */
export function subscriptionPattern(prefix: string, channels: string): string {
  return prefix.replace(/[*?[\]\\]/g, '\\$&') + channels;
}
