"use strict";
const copy = document.querySelector(".copy");
if (copy) {
  const source = document.querySelector(".mminibert pre");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch { // where a page may not: an older browser, or one that is not asked over a secure address
      source.parentElement.open = true;
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy CoNLL-U"; }, 1500);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement.blur();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form?.requestSubmit();
});
const names = new Intl.DisplayNames([navigator.language || "en"], { type: "language" });
for (const group of document.querySelectorAll("optgroup")) {
  try {
    group.label = `${names.of(group.label)} (${group.label})`;
  } catch { /* a code that browsers do not know stays */ }
}
