/** JSON Schemas of what crosses Warren's border, as far as warren.yaml tells them. */
import { compileProjection } from '../../config/projection.ts';
import { compileTemplate, type Template, type Variable } from '../../config/template.ts';
import type { EventRule } from '../../contracts/warren-config.ts';

/** A JSON Schema; `{}` where nothing is known. */
export type Shape = boolean | { readonly [keyword: string]: unknown };

/** The schema that a rule names, and the file that it is in. */
export interface PayloadSchema {
  readonly path: string;
  readonly document: Shape;
}

const anything: Shape = {};
const text: Shape = { type: 'string' };
/** Deeper paths and longer chains of references count as unknown. */
const maxSteps = 64;

export function payloadSchemaOf(rule: EventRule): PayloadSchema | undefined {
  const { schema } = rule as { readonly schema?: Partial<PayloadSchema> };
  return schema?.path === undefined || schema.document === undefined
    ? undefined
    : { path: schema.path, document: schema.document };
}

/** What a client gets as `data`. References lead into `document` of the rule's schema. */
export function clientShape(rule: EventRule): Shape {
  const payload = payloadSchemaOf(rule)?.document ?? anything;
  const projection = compileProjection(rule.data);
  if (!projection.ok) return anything;
  switch (projection.value.kind) {
    case 'payload':
      return payload;
    case 'value':
      return templateShape(projection.value.template, payload);
    case 'map': {
      const { entries } = projection.value;
      const properties = entries.map(
        ({ key, template }) =>
          [JSON.parse(key) as string, templateShape(template, payload)] as const,
      );
      // What is not there is refused, so each of them is.
      return {
        type: 'object',
        properties: Object.fromEntries(properties),
        ...(properties.length === 0 ? {} : { required: properties.map(([key]) => key) }),
        additionalProperties: false,
      };
    }
  }
}

function templateShape(template: Template, payload: Shape): Shape {
  const { alone } = template;
  if (alone === undefined) return text;
  if (alone.root === 'key') return text;
  return alone.root === 'data' ? shapeAt(payload, alone.path) : anything;
}

/** The schema of a field, looked for along `properties`, `items` and references within the document; `{}` where it is not found. */
export function shapeAt(document: Shape, path: readonly string[]): Shape {
  let at = document;
  for (const step of path.slice(0, maxSteps)) {
    const here = dereferenced(document, at);
    if (typeof here === 'boolean') return anything;
    const { properties, prefixItems, items } = here;
    const inTuple = Array.isArray(prefixItems) ? ownOf(prefixItems, step) : undefined;
    const isPosition = /^\d+$/.test(step);
    const next = ownOf(properties, step) ?? inTuple ?? (isPosition ? items : undefined);
    if (!isShape(next)) return anything;
    at = next;
  }
  return path.length > maxSteps ? anything : at;
}

/** Follows `$ref` within the document; `{}` where it leads out of it, nowhere or in a circle. */
export function dereferenced(document: Shape, shape: Shape): Shape {
  let at = shape;
  for (let steps = 0; steps < maxSteps; steps += 1) {
    if (typeof at === 'boolean' || typeof at['$ref'] !== 'string') return at;
    const target = pointedAt(document, at['$ref']);
    if (target === undefined) return anything;
    at = target;
  }
  return anything;
}

function pointedAt(document: Shape, reference: string): Shape | undefined {
  if (reference === '#') return document;
  if (!reference.startsWith('#/')) return undefined;
  let at: unknown = document;
  for (const raw of reference.slice(2).split('/')) {
    at = ownOf(at, raw.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return isShape(at) ? at : undefined;
}

function ownOf(holder: unknown, key: string): unknown {
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, key)
    ? (holder as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

export function isShape(value: unknown): value is Shape {
  return (
    typeof value === 'boolean' ||
    (typeof value === 'object' && value !== null && !Array.isArray(value))
  );
}

interface Fields {
  readonly children: Map<string, Fields>;
  required: boolean;
}

/**
 * What a payload must hold for rules without a schema: the fields that their templates name. They are required by rules that apply to
 * every event of their pattern; `except` requires none.
 */
export function namedFieldsShape(rules: readonly EventRule[]): Shape {
  const root: Fields = { children: new Map(), required: true };
  for (const rule of rules) {
    for (const { root: from, path } of variablesOf(rule)) {
      if (from === 'data') add(root, path, rule.when === undefined);
    }
  }
  return root.children.size === 0 ? anything : fieldsShape(root);
}

function add(root: Fields, path: readonly string[], required: boolean): void {
  let at = root;
  for (const step of path) {
    // A position in a list: from there on nothing is told.
    if (/^\d+$/.test(step)) return;
    let next = at.children.get(step);
    if (next === undefined) {
      next = { children: new Map(), required: false };
      at.children.set(step, next);
    }
    next.required ||= required;
    at = next;
  }
}

function fieldsShape({ children }: Fields): Shape {
  if (children.size === 0) return anything;
  const required = [...children].filter(([, child]) => child.required).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(
      [...children].map(([name, child]) => [name, fieldsShape(child)] as const),
    ),
    ...(required.length === 0 ? {} : { required }),
  };
}

function variablesOf(rule: EventRule): readonly Variable[] {
  const sources = [
    ...rule.to.map(withoutTarget),
    ...(rule.as === undefined ? [] : [rule.as]),
    ...(typeof rule.data === 'string' ? [rule.data] : Object.values(rule.data ?? {})),
  ];
  return sources.flatMap((source) => {
    const compiled = compileTemplate(source);
    return compiled.ok ? compiled.value.parts.filter((part) => typeof part === 'object') : [];
  });
}

/** `user:` and `socket:` say what the template names, and are not part of it. */
function withoutTarget(target: string): string {
  return target.replace(/^(user|socket):/, '');
}
