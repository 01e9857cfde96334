// A choice that takes effect at once; without a script the form's button does it.
export function mount(field) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
