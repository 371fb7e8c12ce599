/** Dropping a fingerprint file onto the form: the form itself does the rest, with or without this. */

const MOST_BYTES = 4 << 20;

const form = document.getElementById("drop");
const input = document.getElementById("fingerprint");
const told = document.getElementById("drop-told");

document.querySelector(".drop-hint").hidden = false;

for (const kind of ["dragenter", "dragover"]) {
  form.addEventListener(kind, (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
}
form.addEventListener("dragleave", () => form.classList.remove("over"));
form.addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  input.files = event.dataTransfer.files;
  if (isFitting()) form.requestSubmit();
});
form.addEventListener("submit", (event) => {
  if (!isFitting()) event.preventDefault();
});

function isFitting() {
  const [file, ...others] = input.files;
  const problem =
    file === undefined || others.length > 0
      ? "Choose one file."
      : file.size > MOST_BYTES
        ? "This file is too large for a fingerprint: make one with whorl fingerprint MODEL -o model.whorl."
        : "";
  told.textContent = problem;
  return problem === "";
}
