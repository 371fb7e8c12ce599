"use strict";
// Details on demand. All of it stands in the page's tables too: without this script nothing is missing.
(() => {
  const figure = document.getElementById("ratios-figure");
  if (figure) {
    const readout = document.getElementById("readout");
    const rows = [...document.querySelectorAll("#ratios-table tbody tr[data-row]")];
    const marks = [...figure.querySelectorAll(".ratio")];
    const show = (number) => {
      for (const mark of marks) mark.classList.toggle("chosen", mark.dataset.row === number);
      readout.textContent = rows.find((row) => row.dataset.row === number)?.dataset.words ?? "";
    };
    for (const mark of marks) {
      mark.addEventListener("pointerenter", () => show(mark.dataset.row));
      mark.addEventListener("click", () => show(mark.dataset.row));
    }
    const tools = document.getElementById("tools");
    tools.hidden = false;
    tools.addEventListener("change", (event) => {
      if (event.target.name === "values") figure.dataset.show = event.target.value;
      else show(event.target.value);
    });
  }
  const form = document.getElementById("own-prior");
  if (form) {
    const input = document.getElementById("prior");
    const output = document.getElementById("posterior");
    const log10 = Number(form.dataset.log10);
    const plain = (value) => value.toLocaleString("en", { maximumSignificantDigits: 2 });
    const answer = () => {
      const one = Number(input.value);
      const fits = Number.isFinite(one) && one > 1 && one <= 1e12;
      const odds = 10 ** log10 / (one - 1);
      output.textContent = fits ? `would become 1 in ${plain((1 + odds) / odds)}` : "needs a number above 1";
    };
    form.hidden = false;
    input.addEventListener("input", answer);
    answer();
  }
})();
