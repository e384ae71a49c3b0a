/* SPDX-License-Identifier: MIT */
/* theme: light, dark or as the system has it, before anything is drawn. */
'use strict';
(function () {
  var kept = null;
  try { kept = localStorage.getItem('elio-theme'); } catch (e) { /* storage is off: as the system */ }
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
})();
