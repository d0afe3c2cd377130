// Reads WARREN_BROKER_URL's value: one AMQP URL, or several separated by commas.

/**
 * @param {string} text comma-separated amqp: or amqps: URLs
 * @returns {{tls: boolean, host: string, port: number, user: string, password: string, vhost: string, loopback: boolean}[]}
 * @throws {Error} with a message that names no password
 */
export function parseBrokerUrls(text) {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseOne);
}

function parseOne(text) {
  if (!URL.canParse(text)) throw new Error('not a URL (expected amqp://user:password@host:port)');
  const url = new URL(text);
  if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') {
    throw new Error(`${url.protocol} is not amqp: or amqps:`);
  }
  const tls = url.protocol === 'amqps:';
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  return {
    tls,
    host,
    port: Number(url.port) || (tls ? 5671 : 5672),
    user: decodeURIComponent(url.username || 'guest'),
    password: decodeURIComponent(url.password || 'guest'),
    // AMQP URIs: no path means the default vhost "/", a path is the vhost without its first slash.
    vhost: url.pathname.length > 1 ? decodeURIComponent(url.pathname.slice(1)) : '/',
    loopback: host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host),
  };
}
