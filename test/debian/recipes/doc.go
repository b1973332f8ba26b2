// Package recipes keeps programs that were written without a thought of handover (gunicorn, a server for Node, nginx, one for the JVM) as
// docs/recipes.md says, upgrades them under load with nobody refused, and measures beside it what each loses by its own way.
package recipes
