/**
 * AMQP topic patterns as RabbitMQ reads them: words separated by dots, `*` is exactly one word, `#` any number of words.
 * Both are wildcards only as a whole word and only in the pattern; an empty word is a word; the empty key has no words.
 */

import { fail, ok, type Result } from './result.ts';
import { maxRoutingKeyBytes } from './routing-key.ts';

/** Splits a routing key or pattern as the broker does. */
export function topicWords(text: string): readonly string[] {
  return text === '' ? [] : text.split('.');
}

export interface TopicPatternError {
  readonly code: 'invalid_topic_pattern';
  readonly text: string;
}

/** Checks that a pattern can be bound: well-formed and at most 255 bytes. */
export function parseTopicPattern(pattern: string): Result<string, TopicPatternError> {
  if (!pattern.isWellFormed()) return fail(error('the pattern holds a lone surrogate'));
  const bytes = Buffer.byteLength(pattern, 'utf8');
  if (bytes > maxRoutingKeyBytes) {
    return fail(error(`the pattern is ${bytes} bytes long, AMQP allows ${maxRoutingKeyBytes}`));
  }
  const words = topicWords(pattern);
  const odd = words.find((word) => word.length > 1 && /[*#]/.test(word));
  if (odd !== undefined) {
    return fail(
      error(`"${odd}" mixes a wildcard with text: * and # are wildcards only as a whole word`),
    );
  }
  return ok(pattern);
}

function error(text: string): TopicPatternError {
  return { code: 'invalid_topic_pattern', text };
}

interface Node<T> {
  readonly children: Map<string, Node<T>>;
  readonly values: Set<T>;
  /** Reached by `#`: it stays alive on every further word. */
  readonly absorbs: boolean;
}

function node<T>(word: string): Node<T> {
  return { children: new Map(), values: new Set(), absorbs: word === '#' };
}

/** Values filed under topic patterns; finds those whose pattern matches a routing key. */
export class TopicTrie<T> {
  readonly #root: Node<T> = node('');

  add(pattern: string, value: T): void {
    let at = this.#root;
    for (const word of topicWords(pattern)) {
      let next = at.children.get(word);
      if (next === undefined) {
        next = node(word);
        at.children.set(word, next);
      }
      at = next;
    }
    at.values.add(value);
  }

  remove(pattern: string, value: T): void {
    const path: { readonly parent: Node<T>; readonly word: string; readonly node: Node<T> }[] = [];
    let at = this.#root;
    for (const word of topicWords(pattern)) {
      const next = at.children.get(word);
      if (next === undefined) return;
      path.push({ parent: at, word, node: next });
      at = next;
    }
    at.values.delete(value);
    for (const step of path.reverse()) {
      if (step.node.values.size > 0 || step.node.children.size > 0) return;
      step.parent.children.delete(step.word);
    }
  }

  /** Each value once, however many of its patterns match. */
  match(routingKey: string): Set<T> {
    const found = new Set<T>();
    const words = topicWords(routingKey);
    // One state per (node, position): without this, several `#` in a pattern make the walk exponential.
    let states = new Set<Node<T>>([this.#root]);
    expandHashes(states);
    for (const word of words) {
      const next = new Set<Node<T>>();
      for (const state of states) {
        const exact = state.children.get(word);
        // In a routing key `*` and `#` are ordinary words; the wildcard children below already cover them.
        if (exact !== undefined && word !== '*' && word !== '#') next.add(exact);
        const one = state.children.get('*');
        if (one !== undefined) next.add(one);
        if (state.absorbs) next.add(state);
      }
      expandHashes(next);
      states = next;
    }
    for (const state of states) for (const value of state.values) found.add(value);
    return found;
  }
}

function expandHashes<T>(states: Set<Node<T>>): void {
  // A Set visits what is added while it is walked, so chains of `#` expand fully.
  for (const state of states) {
    const any = state.children.get('#');
    if (any !== undefined) states.add(any);
  }
}
