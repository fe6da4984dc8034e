import { quoted } from './error';

const MAX_SKIPPED_DEPTH = 32;
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Whether UTF-8 can hold `text`: no half of a surrogate pair stands alone. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/**
 * A strict JSON reader (RFC 8259) for untrusted files, driven by the caller: it asks for the value that its format has next, so
 * nothing else is ever built in memory. Beyond `JSON.parse` it refuses duplicate keys (of which `JSON.parse` silently keeps the
 * last), bounds the depth, and reads integers from their digits, so 1e308, 0.5 or 2^53 + 1 cannot pass for an offset.
 */
export class JsonReader {
  private position = 0;

  /** @param fail makes the error to throw from a sentence of the form "expected ... but got ..." */
  constructor(
    private readonly text: string,
    private readonly fail: (problem: string) => Error,
  ) {}

  /** Reads an object; `readValue` is called after each key and must read exactly one value. */
  object(readValue: (key: string) => void): void {
    const keys = new Set<string>();
    this.sequence('{', '}', 'an object', () => {
      const key = this.string();
      if (keys.has(key)) throw this.fail(`expected every key once but got ${quoted(key)} twice`);
      keys.add(key);
      if (!this.take(':')) throw this.unexpected('":" after a key');
      readValue(key);
    });
  }

  /** Reads an array; `readItem` must read exactly one value. */
  array(readItem: () => void): void {
    this.sequence('[', ']', 'an array', readItem);
  }

  /** Reads a string. Half of a surrogate pair, which UTF-8 cannot hold, is refused. */
  string(): string {
    this.skipSpace();
    if (this.text[this.position] !== '"') throw this.unexpected('a string');
    const end = this.closingQuote();
    const literal = this.text.slice(this.position, end + 1);
    let value: string;
    try {
      value = JSON.parse(literal) as string;
    } catch {
      throw this.fail(`expected a valid string but got ${quoted(literal)}`);
    }
    if (!isWellFormed(value)) throw this.fail(`expected well-formed Unicode but got ${quoted(value)}`);
    this.position = end + 1;
    return value;
  }

  /** Reads an integer from 0 to 2^53 - 1, written in plain digits. */
  nonNegativeInteger(): number {
    this.skipSpace();
    const digits = this.match(/(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y);
    if (digits === undefined || !Number.isSafeInteger(Number(digits))) throw this.unexpected('an integer from 0 to 2^53 - 1');
    this.position += digits.length;
    return Number(digits);
  }

  /** Reads an object whose values are strings; the record has no prototype, so that no key is special. */
  stringRecord(): Record<string, string> {
    const record = Object.create(null) as Record<string, string>;
    this.object((key) => (record[key] = this.string()));
    return record;
  }

  /** Whether the next value is the literal null, which is read if so. */
  takeNull(): boolean {
    this.skipSpace();
    const found = this.text.startsWith('null', this.position);
    if (found) this.position += 4;
    return found;
  }

  /** Reads and drops any value. */
  skipValue(depth = 0): void {
    if (depth > MAX_SKIPPED_DEPTH) throw this.fail(`expected at most ${MAX_SKIPPED_DEPTH} nested values but got more`);
    this.skipSpace();
    const next = this.text[this.position];
    if (next === '{') this.object(() => this.skipValue(depth + 1));
    else if (next === '[') this.array(() => this.skipValue(depth + 1));
    else if (next === '"') this.string();
    else {
      const scalar = this.match(/(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![0-9a-zA-Z.+-])/y);
      if (scalar === undefined) throw this.unexpected('a JSON value');
      this.position += scalar.length;
    }
  }

  /** Nothing but white space may follow. */
  end(): void {
    this.skipSpace();
    if (this.position < this.text.length) throw this.unexpected('the end of the JSON text');
  }

  private sequence(open: string, close: string, what: string, readItem: () => void): void {
    if (!this.take(open)) throw this.unexpected(what);
    if (this.take(close)) return;
    do readItem();
    while (this.take(','));
    if (!this.take(close)) throw this.unexpected(`"," or "${close}"`);
  }

  private take(character: string): boolean {
    this.skipSpace();
    if (this.text[this.position] !== character) return false;
    this.position++;
    return true;
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    return pattern.exec(this.text)?.[0];
  }

  private skipSpace(): void {
    while (SPACE.has(this.text.charCodeAt(this.position))) this.position++;
  }

  private closingQuote(): number {
    for (let from = this.position + 1; ;) {
      const quote = this.text.indexOf('"', from);
      if (quote < 0) throw this.unexpected('a string that ends');
      let backslash = quote;
      while (this.text[backslash - 1] === '\\') backslash--;
      if ((quote - backslash) % 2 === 0) return quote;
      from = quote + 1;
    }
  }

  private unexpected(expected: string): Error {
    const rest = this.text.slice(this.position, this.position + 20);
    return this.fail(`expected ${expected} at character ${this.position} but got ${rest === '' ? 'the end of the text' : quoted(rest)}`);
  }
}
