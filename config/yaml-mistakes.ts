/** The mistakes that YAML itself objects to, in the words of someone who writes rules and not YAML. */
import type { YAMLError } from 'yaml';

export interface YamlMistake {
  readonly message: string;
  readonly cure?: string;
}

export const startsWithStar: YamlMistake = {
  message: 'holds a value that starts with *, which YAML takes for an alias',
  cure: "put quotes around the value: on: '*.created'",
};

/** @param line the line at fault; the parser's own messages may quote it, so they are not passed on */
export function yamlMistake(error: YAMLError, line: string): YamlMistake {
  const quote = 'put quotes around the value';
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return { message: 'is indented with a tab', cure: 'YAML is indented with spaces only' };
    case 'MULTIPLE_DOCS':
      return {
        message: 'holds more than one document',
        cure: 'remove the line --- and what belongs to the other document',
      };
    case 'BAD_ALIAS':
      return startsWithStar;
    case 'BAD_SCALAR_START':
      return {
        message: 'holds a value that starts with a character reserved by YAML',
        cure: quote,
      };
    case 'TAG_RESOLVE_FAILED':
      return {
        message: 'holds a value that starts with !, which YAML takes for a tag',
        cure: quote,
      };
    case 'NON_STRING_KEY':
      return { message: 'holds a key that is not text' };
    case 'RESOURCE_EXHAUSTION':
      return { message: 'nests too deeply' };
    case 'BLOCK_AS_IMPLICIT_KEY':
      return { message: 'holds a second ": ", which YAML takes for another key', cure: quote };
    case 'UNEXPECTED_TOKEN':
      if (/:\s+\{/.test(line)) {
        return {
          message: 'goes on after the } of what YAML takes for a map',
          cure: "put quotes around the whole template: to: '{data.id}.news'",
        };
      }
      if (/:\s+['"]/.test(line)) {
        return {
          message: 'goes on after the end of a quoted value',
          cure: `put the other kind of quotes around the whole value: when: "'a' in data.list"`,
        };
      }
      return { message: 'holds something that YAML does not expect here' };
    case 'MISSING_CHAR':
      return /quote/.test(error.message)
        ? { message: 'ends inside a quoted value', cure: 'close the quote' }
        : {
            message:
              'lacks a character that belongs here, such as a closing } or ], or the - of a list item',
          };
    case 'MULTILINE_IMPLICIT_KEY':
      return { message: 'holds a key without ": "', cure: 'a space belongs after the colon' };
    case 'BAD_INDENT':
      return {
        message: 'is indented unlike the lines around it',
        cure: 'keys of one map begin in the same column',
      };
    default:
      return { message: `is not YAML here (${error.code.toLowerCase().replaceAll('_', ' ')})` };
  }
}
