/** Writes each picture in as few bytes as it takes, with the same pixels:   node shrink.mjs FOLDER */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
const [TRUE, INDEXED, TRUE_WITH_ALPHA] = [2, 3, 6];

for (const name of readdirSync(process.argv[2]).filter((one) => one.endsWith(".png"))) {
  const path = join(process.argv[2], name);
  const before = readFileSync(path);
  const picture = read(before);
  if (!picture) continue;
  const after = written(picture);
  if (after.length < before.length) writeFileSync(path, after);
}

/** Width, height and the colours of all pixels; `null` for a picture in another form, as one that is small already. */
function read(file) {
  const chunks = [];
  for (let at = SIGNATURE.length; at < file.length; ) {
    const length = file.readUInt32BE(at);
    chunks.push([file.toString("latin1", at + 4, at + 8), file.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  const header = chunks[0][1];
  const [width, height, depth, form, interlaced] = [header.readUInt32BE(0), header.readUInt32BE(4), header[8], header[9], header[12]];
  if (depth !== 8 || interlaced || ![TRUE, TRUE_WITH_ALPHA].includes(form)) return null;
  const bytes = form === TRUE ? 3 : 4;
  const rows = unfiltered(inflateSync(Buffer.concat(chunks.filter(([kind]) => kind === "IDAT").map(([, data]) => data))), width * bytes, height, bytes);
  const colours = new Uint32Array(width * height);
  for (let at = 0; at < colours.length; at++) {
    const from = at * bytes;
    if (bytes === 4 && rows[from + 3] !== 255) return null;
    colours[at] = (rows[from] << 16) | (rows[from + 1] << 8) | rows[from + 2];
  }
  return { width, height, colours };
}

function unfiltered(data, length, height, bytes) {
  const rows = Buffer.alloc(length * height);
  for (let y = 0; y < height; y++) {
    const [filter, from, to] = [data[y * (length + 1)], y * (length + 1) + 1, y * length];
    for (let x = 0; x < length; x++) {
      const left = x >= bytes ? rows[to + x - bytes] : 0;
      const up = y > 0 ? rows[to + x - length] : 0;
      const corner = x >= bytes && y > 0 ? rows[to + x - length - bytes] : 0;
      rows[to + x] = data[from + x] + [0, left, up, (left + up) >> 1, nearest(left, up, corner)][filter];
    }
  }
  return rows;
}

function nearest(left, up, corner) {
  const [a, b, c] = [left, up, corner].map((one) => Math.abs(left + up - corner - one));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function written({ width, height, colours }) {
  const palette = [...new Set(colours)];
  const indexed = palette.length <= 256;
  const place = new Map(palette.map((colour, at) => [colour, at]));
  const bytes = indexed ? 1 : 3;
  const rows = Buffer.alloc(height * (width * bytes + 1));
  for (let y = 0, to = 0; y < height; y++) {
    rows[to++] = 0;
    for (let x = 0; x < width; x++) {
      const colour = colours[y * width + x];
      if (indexed) rows[to++] = place.get(colour);
      else for (const shift of [16, 8, 0]) rows[to++] = (colour >> shift) & 255;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, indexed ? INDEXED : TRUE], 8);
  const table = indexed ? [chunk("PLTE", Buffer.from(palette.flatMap((colour) => [16, 8, 0].map((shift) => (colour >> shift) & 255))))] : [];
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), ...table, chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
