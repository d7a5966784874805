import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import typescript from "typescript-eslint";

// Only `api/` speaks to the server.
const noFetch = {
  "no-restricted-globals": [
    "error",
    { name: "fetch", message: "Ask through a function of src/api." },
    { name: "EventSource", message: "It sends no token; follow events through src/api/events.ts." },
  ],
};

export default typescript.config(
  { ignores: ["dist/", "src/api/schema.d.ts"] },
  js.configs.recommended,
  ...typescript.configs.strict,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      "no-undef": "off", // TypeScript says it better
      eqeqeq: "error",
      "@typescript-eslint/no-dynamic-delete": "off", // values are kept by the names of ports
      "svelte/prefer-svelte-reactivity": "off", // what nobody watches is a plain map
    },
  },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: typescript.parser } },
  },
  { files: ["src/**"], ignores: ["src/api/**"], rules: noFetch },
);
