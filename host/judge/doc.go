// Package judge says whether a release may stay: from a policy and from what was observed, a verdict with its evidence.
//
// It promises to be a function: it knows no clock, starts nothing, reads nothing and keeps nothing that it was not given. The
// same observations in the same order lead to the same verdict, with the same words.
//
// A [Case] hears the observations of one bake. What is plain fails at once (another version than the release promised, a
// restart); what may be chance for a moment fails when it was so several times in a row (checks, ceilings, the heartbeat). Rates
// are compared with the incumbent's own by two tests, each with half of [Policy.FalseAlarms]:
//
//   - errors by Fisher's exact test, one-sided: given the errors of both builds together, are so many of the candidate's own;
//   - latencies by the rank test of Mann and Whitney, one-sided, with the correction for ties, on histograms.
//
// Both look again and again at data that grows. A look is taken when the candidate has answered a quarter more requests than at
// the look before, and once at the end; look k may spend 1/(k(k+1)) of the test's share. These add up to 1 however many looks
// there are, so the bound on false alarms holds (Bonferroni's inequality) for a bake of any length.
//
// # What is assumed
//
// The tests suppose that requests are independent, and that the incumbent's were of the same kind. Traffic is neither: a client
// tries again, a database is away for some seconds, the hour changes. Three things stand against that:
//
//   - Requests of the incumbent that failed or were slow together ([Baseline.Intervals]) tell how much less than its number a request
//     weighs, and both tests take it for that.
//   - A difference must be large enough to matter ([Errors], [Latency]), not only significant.
//   - It must be there without the worst intervals, one fewer than [Policy.Failures]: so one burst fails nothing that ends within them.
//
// What remains is a lasting change that comes from elsewhere while a release bakes: that is taken for the release's, and costs
// a return to the build before.
//
// Growth is judged by ceilings alone. A build that leaks is found when it has grown past one, not by its slope: a cache
// that fills has the same slope. A tail that alone is slower is found by the rank test late, or not at all if few requests lie in it.
//
// How often equal builds fail and worse ones do not is on record in docs/results/judge.md.
package judge
