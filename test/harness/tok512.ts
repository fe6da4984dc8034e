import { readFileSync } from 'node:fs';

/** The BOS token. */
export const BOS = 1;

/**
 * The tokenizer of llama2.c, read from its file: int32 longest token, then for each token float32 score, int32 length and the bytes.
 * Encoding merges the best-scored adjacent pair until no pair is a token.
 */
export class Tok512 {
  private readonly scores: number[] = [];
  private readonly pieces: Buffer[] = [];
  private readonly ids = new Map<string, number>();

  constructor(path: string) {
    const file = readFileSync(path);
    for (let at = 4; at < file.length; ) {
      const length = file.readInt32LE(at + 4);
      const piece = file.subarray(at + 8, at + 8 + length);
      // The first token with a given text is the one that encoding finds.
      const text = piece.toString('latin1');
      if (!this.ids.has(text)) this.ids.set(text, this.pieces.length);
      this.scores.push(file.readFloatLE(at));
      this.pieces.push(piece);
      at += 8 + length;
    }
  }

  get size(): number {
    return this.pieces.length;
  }

  private find(bytes: Buffer): number | undefined {
    return this.ids.get(bytes.toString('latin1'));
  }

  /** BOS, a space, then the text. */
  encode(text: string): number[] {
    const space = this.find(Buffer.from(' '))!;
    const characters = Array.from(text, (character) => Buffer.from(character));
    // A character without a token becomes its bytes; byte b is token b + 3.
    const tokens = [BOS, space, ...characters.flatMap((bytes) => this.find(bytes) ?? Array.from(bytes, (byte) => byte + 3))];
    for (;;) {
      let best = { score: -Infinity, place: -1, id: -1 };
      for (let place = 0; place + 1 < tokens.length; place++) {
        const id = this.find(Buffer.concat([this.pieces[tokens[place]], this.pieces[tokens[place + 1]]]));
        if (id !== undefined && this.scores[id] > best.score) best = { score: this.scores[id], place, id };
      }
      if (best.place < 0) return tokens;
      tokens.splice(best.place, 2, best.id);
    }
  }

  /** The text of tokens, without BOS and the space that encoding puts first. */
  decode(tokens: readonly number[]): string {
    const text = Buffer.concat(tokens.filter((token) => token !== BOS).map((token) => this.pieces[token]));
    return text.toString().replace(/^ /, '');
  }
}
