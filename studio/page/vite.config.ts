import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** Leaves every file of the build compressed beside it, once and as small as may be; the server sends these. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  writeBundle({ dir = "" }, bundle) {
    for (const name of Object.keys(bundle)) {
      const file = join(dir, name);
      const data = readFileSync(file);
      writeFileSync(`${file}.gz`, gzipSync(data, { level: 9 }));
      writeFileSync(`${file}.br`, brotliCompressSync(data));
    }
  },
};

export default defineConfig({
  plugins: [svelte({ configFile: false }), compressed],
  build: {
    // The policy of the server allows no data: in styles or scripts, and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: {
    fs: { allow: ["../.."] },
    proxy: { "/api": process.env.STUDIO_URL ?? "http://127.0.0.1:7860" },
  },
});
