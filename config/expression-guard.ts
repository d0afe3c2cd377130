/**
 * What keeps a condition cheap whatever the data holds: no backtracking regular expressions, bounded loops.
 *
 * cel-js 8 has three ways to burn time on hostile data: `matches` (JavaScript's RegExp: minutes for 33 characters), `duration`
 * (its parser is cubic in the length of the text) and loops within loops over lists from the data.
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import { RE2JS } from 're2js';

export interface Objection {
  readonly message: string;
  readonly cure?: string;
  readonly offset: number;
}

const loops: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** Elements that a loop may walk: alone, and in an expression where one loop stands inside another. */
const maxLoopElements = 1000;
const maxNestedLoopElements = 100;
const maxLoopDepth = 2;

const maxPatternLength = 500;
/** Longer text does not match: 10,000 characters cost re2js some milliseconds at worst. */
const maxTextLength = 10_000;

/** Source of the node that is put around every list that a loop walks; its arguments are replaced. */
export const limitedList = 'atMost([], 0)';

/** Adds `re2(text, pattern)` and the inner `atMost(list, n)`. */
export function registerGuards(environment: Environment): void {
  const compiled = new Map<string, RE2JS>();
  environment.registerFunction(
    're2(string, string): bool',
    (text: string, pattern: string) => {
      if (text.length > maxTextLength)
        throw new Error(`text of more than ${maxTextLength} characters`);
      // Patterns are literals of the expression, so there are as many as it has nodes.
      let regexp = compiled.get(pattern);
      if (regexp === undefined) {
        regexp = RE2JS.compile(pattern);
        compiled.set(pattern, regexp);
      }
      return regexp.test(text);
    },
    synchronous,
  );
  environment.registerFunction(
    'atMost(dyn, int): dyn',
    (list: unknown, most: bigint) => {
      if (typeof list === 'object' && list !== null) {
        const size = Array.isArray(list) ? list.length : Object.keys(list).length;
        if (size > Number(most)) throw new Error(`a loop over more than ${most} elements`);
      }
      return list;
    },
    synchronous,
  );
}

/** Declared, or cel-js prepares every expression for promises. */
const synchronous = { async: false };

/**
 * Objects to what could hold up the process, and bounds the loops of the tree in place. To be called before the tree is checked
 * or evaluated for the first time.
 *
 * @param wrapper makes a fresh tree of `limitedList`
 */
export function guardSyntaxTree(root: ASTNode, wrapper: () => ASTNode): Objection | undefined {
  let objection: Objection | undefined;
  let deepest = 0;
  const lists: { readonly owner: Slot; readonly list: ASTNode }[] = [];
  const walk = (node: ASTNode, depth: number): void => {
    objection ??= objectionTo(node);
    if (isLoop(node)) {
      deepest = Math.max(deepest, depth + 1);
      lists.push(loopSlot(node));
      walk(node.args[1], depth);
      for (const argument of node.args[2]) walk(argument, depth + 1);
      return;
    }
    if (node.op === 'in' && depth > 0) {
      // A search within a loop is a loop too.
      const args = node.args;
      lists.push({
        list: args[1],
        owner: {
          replace: (by) => {
            args[1] = by;
          },
        },
      });
    }
    for (const child of childrenOf(node)) walk(child, depth);
  };
  walk(root, 0);
  if (objection !== undefined) return objection;
  if (deepest > maxLoopDepth) {
    return {
      offset: 0,
      message: `nests loops ${deepest} deep, at most ${maxLoopDepth} are allowed`,
    };
  }
  const most = BigInt(deepest > 1 ? maxNestedLoopElements : maxLoopElements);
  for (const { owner, list } of lists) owner.replace(limited(wrapper(), list, most));
  return undefined;
}

type Loop = Extract<ASTNode, { op: 'rcall' }>;

function isLoop(node: ASTNode): node is Loop {
  return node.op === 'rcall' && loops.has(node.args[0]) && node.args[2].length >= 2;
}

interface Slot {
  replace(by: ASTNode): void;
}

/** cel-js expands a loop while parsing and keeps the result in `meta.alternate`; the list is its `iterable`. */
function loopSlot(node: Loop): { readonly owner: Slot; readonly list: ASTNode } {
  const expanded = (node as unknown as { meta?: { alternate?: { args?: { iterable?: ASTNode } } } })
    .meta?.alternate?.args;
  if (expanded?.iterable === undefined) {
    // Not a loop that we can bound: another version of cel-js. Refusing beats running it unbounded.
    throw new Error(`the loop ${node.args[0]} cannot be bounded`);
  }
  return {
    list: expanded.iterable,
    owner: {
      replace: (by) => {
        expanded.iterable = by;
      },
    },
  };
}

function limited(wrapper: ASTNode, list: ASTNode, most: bigint): ASTNode {
  if (wrapper.op !== 'call') throw new Error('the wrapper is not a call');
  const [, args] = wrapper.args;
  const count = args[1];
  if (count?.op !== 'value') throw new Error('the wrapper has no count');
  args[0] = list;
  (count as { args: unknown }).args = most;
  return wrapper;
}

function objectionTo(node: ASTNode): Objection | undefined {
  if (node.op !== 'call' && node.op !== 'rcall') return undefined;
  const name = node.args[0];
  const offset = node.range.start;
  if (name === 'matches') {
    return {
      offset,
      message: 'uses matches, which hostile text can make run for minutes',
      cure: "write re2(data.code, '^[A-Z]{3}$'), which takes linear time",
    };
  }
  if (name === 'atMost') return { offset, message: 'uses atMost, which is not a function here' };
  if (node.op !== 'call') return undefined;
  const args = node.args[1];
  if (name === 'duration' && textLiteral(args[0]) === undefined) {
    return {
      offset,
      message: 'uses duration on something else than a literal, as duration("90m")',
    };
  }
  if (name === 're2' && args.length === 2) return patternObjection(textLiteral(args[1]), offset);
  return undefined;
}

function patternObjection(pattern: string | undefined, offset: number): Objection | undefined {
  if (pattern === undefined) {
    return {
      offset,
      message: 'uses re2 with a pattern that is not a literal',
      cure: "write the pattern in quotes: re2(data.code, '^[A-Z]{3}$')",
    };
  }
  if (pattern.length > maxPatternLength) {
    return { offset, message: `has a pattern of more than ${maxPatternLength} characters` };
  }
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { offset, message: `has a bad pattern: ${reason}` };
  }
}

function textLiteral(node: ASTNode | undefined): string | undefined {
  return node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'list':
      return node.args;
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}
