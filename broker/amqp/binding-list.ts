/** Bindings of the router's queue as a set, and as the message in which the broker keeps it. Pure. */

/** Pairs of exchange and pattern. */
export type BindingList = ReadonlySet<string>;

/** Between exchange and pattern; no exchange has it in its name. */
const separator = '\0';

export function bindingList(
  exchanges: readonly string[],
  patterns: readonly string[],
): Set<string> {
  return new Set(
    exchanges.flatMap((exchange) => patterns.map((pattern) => exchange + separator + pattern)),
  );
}

export function union(...lists: readonly BindingList[]): BindingList {
  return new Set(lists.flatMap((list) => [...list]));
}

export function without(list: BindingList, removed: BindingList): BindingList {
  return new Set([...list].filter((binding) => !removed.has(binding)));
}

export function sameBindings(a: BindingList, b: BindingList): boolean {
  return a.size === b.size && without(a, b).size === 0;
}

export function byExchange(list: BindingList): ReadonlyMap<string, readonly string[]> {
  const exchanges = new Map<string, string[]>();
  for (const binding of list) {
    const at = binding.indexOf(separator);
    const exchange = binding.slice(0, at);
    const patterns = exchanges.get(exchange);
    if (patterns === undefined) exchanges.set(exchange, [binding.slice(at + 1)]);
    else patterns.push(binding.slice(at + 1));
  }
  return exchanges;
}

/** `{"bindings":[["domain.events",["chat.#"]]]}` */
export function encodeBindings(list: BindingList): Buffer {
  return Buffer.from(JSON.stringify({ bindings: [...byExchange(list)] }));
}

/** What cannot be read holds no bindings. */
export function decodeBindings(body: Buffer): BindingList {
  const list = new Set<string>();
  for (const entry of entriesIn(body)) {
    const [exchange, patterns] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof exchange !== 'string' || exchange.includes(separator)) continue;
    for (const pattern of Array.isArray(patterns) ? (patterns as unknown[]) : []) {
      if (typeof pattern === 'string') list.add(exchange + separator + pattern);
    }
  }
  return list;
}

function entriesIn(body: Buffer): readonly unknown[] {
  try {
    const { bindings } = JSON.parse(body.toString('utf8')) as { readonly bindings?: unknown };
    return Array.isArray(bindings) ? bindings : [];
  } catch {
    return [];
  }
}
