// Twin: jtviz/views/selection.py. A widget without a picture: its model carries the choices, and what
// `initialize` returns is shared by every view on the page that refers to it.

import { makePage } from "../core/page";

export default { initialize: () => makePage() };
