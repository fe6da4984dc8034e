import { readFileSync } from 'node:fs';

/** The BOS token. */
export const BOS = 1;

/**
 * The tokenizer of llama2.c, read from its file: int32 longest token, then for each token float32 score, int32 length and the bytes.
 * Encoding merges the best-scored adjacent pair until no pair is a token.
 */
export class Tok512 {
  private readonly scores: number[] = [];
  /** Bytes of the tokens, one character a byte. */
  private readonly pieces: string[] = [];
  private readonly ids = new Map<string, number>();

  constructor(path: string) {
    const file = readFileSync(path);
    for (let at = 4; at < file.length;) {
      const length = file.readInt32LE(at + 4);
      const piece = file.toString('latin1', at + 8, at + 8 + length);
      // Of tokens with one text, encoding finds the first.
      if (!this.ids.has(piece)) this.ids.set(piece, this.pieces.length);
      this.scores.push(file.readFloatLE(at));
      this.pieces.push(piece);
      at += 8 + length;
    }
  }

  get size(): number {
    return this.pieces.length;
  }

  /** The token of two adjacent tokens together, or -1. */
  private merged(left: number, right: number): number {
    return this.ids.get(this.pieces[left] + this.pieces[right]) ?? -1;
  }

  /** BOS, a space, then the text. */
  encode(text: string): number[] {
    const characters = Array.from(` ${text}`, (character) => Buffer.from(character));
    // A character without a token becomes its bytes; byte b is token b + 3.
    const tokens = characters.flatMap((bytes) => this.ids.get(bytes.toString('latin1')) ?? Array.from(bytes, (byte) => byte + 3));
    tokens.unshift(BOS);
    const pairs = tokens.slice(1).map((token, i) => this.merged(tokens[i], token));
    for (;;) {
      let best = -1;
      pairs.forEach((id, place) => {
        if (id >= 0 && (best < 0 || this.scores[id] > this.scores[pairs[best]])) best = place;
      });
      if (best < 0) return tokens;
      tokens.splice(best, 2, pairs[best]);
      pairs.splice(best, 1);
      if (best > 0) pairs[best - 1] = this.merged(tokens[best - 1], tokens[best]);
      if (best < pairs.length) pairs[best] = this.merged(tokens[best], tokens[best + 1]);
    }
  }

  /** The text of tokens, without BOS and the space that encoding puts first. */
  decode(tokens: readonly number[]): string {
    const bytes = tokens.filter((token) => token !== BOS).map((token) => this.pieces[token]);
    return Buffer.from(bytes.join(''), 'latin1').toString().replace(/^ /, '');
  }
}
