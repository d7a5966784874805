/** Light, dark, or as the system has it; remembered. */
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
const KEY = "studio-theme";

class ThemeState {
  chosen: Theme = $state(THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "system");

  constructor() {
    this.#show();
  }

  next(): void {
    this.chosen = THEMES[(THEMES.indexOf(this.chosen) + 1) % THEMES.length] ?? "system";
    localStorage.setItem(KEY, this.chosen);
    this.#show();
  }

  #show(): void {
    if (this.chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.chosen;
  }
}

export const theme = new ThemeState();
