package arch

// fault is a row of docs/faults.md, with what stands behind it.
type fault struct {
	number int // 0: a part of the row before
	fault  string
	tests  string // that survive it, by name; or that it is open
	guard  string // what in the code was taken out once, to see one of them fail; "" where nobody has seen that yet
}

// faultsByPart are all rows, in the order of the page.
var faultsByPart = []struct {
	part   string
	faults []fault
}{
	{"Before ready", []fault{
		{
			number: 1,
			fault:  `The successor exits at once`,
			tests:  `TestDemoKeepsEveryPromise (v4), TestBadBuildIsRefusedAndLosesNothing`,
			guard:  "the death of a successor ends the attempt: rows of `incumbentLife`",
		},
		{
			number: 2,
			fault:  `It hangs before it is ready, past its deadline`,
			tests:  `TestBadBuildIsRefusedAndLosesNothing`,
			guard:  "offering and awaiting have a deadline: `Config.deadline`",
		},
		{
			number: 3,
			fault:  `It dies half-way, and what it leaves behind blocks later upgrades`,
			tests:  `TestStruckAtAFrameTheServiceGoesOn`,
			guard:  "an attempt that is over lets go of its successor: `life.releasePeer`",
		},
		{
			number: 4,
			fault:  `A failed successor removes the incumbent's socket or pid file`,
			tests:  `TestUnixSocketPathOutlivesGenerations. There is no pid file`,
			guard:  "only the end of a service removes the path: not `sockets.close`",
		},
		{
			number: 5,
			fault:  `A build or a configuration that is bad takes the incumbent down`,
			tests:  `TestDemoKeepsEveryPromise (v7), TestBadBuildIsRefusedAndLosesNothing`,
			guard:  "READY only behind the check: `life.check`",
		},
		{
			number: 6,
			fault:  `The binary is missing, not executable, of another architecture, cut short, replaced while it starts; a relative path after chdir; "(deleted)"`,
			tests:  `TestBadBuildIsRefusedAndLosesNothing, TestExecutableBeingWrittenIsRefused, TestExecutableReplacedOnceStartedIsNotMissed, TestRelativePathIsFollowedAfterChdir, TestServiceOutlivesItsDeletedExecutable`,
			guard:  "the keeper's examination: `preflight.Check`",
		},
		{
			number: 7,
			fault:  `The trigger is ignored`,
			tests:  `TestSignalToADrainingGenerationUpgradesTheService, TestSignalToASuccessorIsAnsweredWithTheNumber, TestUpgradeAnswersTheNumberOfTheOneUnderWay, TestSignalThatCrossesFinalIsAnswered`,
			guard:  "a signal that crosses FINAL is passed on again, or taken up: `follow.turn`, `life.unanswered`",
		},
		{
			number: 8,
			fault:  `A hundred triggers in a second`,
			tests:  `TestEverySignalOfAStormIsAnswered, TestBurstOfSignalsIsOneHandover`,
			guard:  "who asks while one is under way is told its number: `life.upgrade`",
		},
	}},
	{"During the handover", []fault{
		{
			number: 9,
			fault:  `The handover fails, and the incumbent ends all the same`,
			tests:  `TestDemoKeepsEveryPromise, TestStruckAtAFrameTheServiceGoesOn, TestSoak`,
			guard:  `an aborted handover opens the gates again`,
		},
		{
			number: 10,
			fault:  `More listeners than one message carries, of every kind`,
			tests:  `TestListenersOfEveryKindAreHandedOver; unit: TestOneMessageCarriesAsManyDescriptorsAsTheKernelAllows, TestSentFramesAreThoseOfTheTranscripts`,
			guard:  "as many descriptors in a message as it carries: `sendListeners`",
		},
		{
			number: 11,
			fault:  `Either side is killed before, within, after each frame`,
			tests:  `TestStruckAtAFrameTheServiceGoesOn, TestStruckWhileConnectionsFollow, TestStruckWhileTakenBack, TestKilledAfterFinalDrainersGoOn, TestStruckAtRandomInstantsTheServiceGoesOn, TestSoak; state of peers: TestStruckWhilePeersArePassedOn, TestStruckWhilePeersComeBack; connections over TLS: TestStruckWhileTLSConnectionsFollow, TestStruckWhileTLSConnectionsComeBack`,
			guard:  "a frozen successor promotes itself when the incumbent dies; a connection without a verdict is kept when its receiver is dead: `follow.lost`",
		},
		{
			number: 12,
			fault:  `A peer stops answering in mid-frame`,
			tests:  `TestStruckAtAFrameTheServiceGoesOn, TestStruckWhileConnectionsFollow, TestStruckWhileTakenBack (each STOP), TestSuccessorThatReadsNoPeersIsNotAwaited. One that is late, and not stopped: TestFrameThatComesLateLosesNothing, TestFrameOfTheWayBackThatComesLateLosesNothing`,
			guard:  "freezing has a deadline, and so has what is sent in it: `Config.deadline`, `passage.pass`",
		},
		{
			number: 13,
			fault:  `Builds of different protocols; garbage, cut, oversized, hostile frames; a peer of another user`,
			tests:  "TestLaterVersionIsUnderstood, TestCriticalKeyInAHandoverAbortsItNamingBothSides, TestJoinedProcessThatMisbehavesIsEnded, TestEnemyAtTheTakeoverSocketCostsNothing, TestPeerOfAnotherUserIsTurnedAway, TestUserCannotPointRootAtAServiceOfRoots (both as root); unit: TestRefusalNamesBothRangesAndBothBuilds, TestFrameThatBreaksTheLink, and `make fuzz`. An incumbent of a later version: TestLaterIncumbentIsSucceeded, TestLaterIncumbentThatIsNotUnderstoodServesOn. A frame of the handover itself that is not what it should be: TestFrameThatIsSpoiltLosesNothing, TestFrameOfTheWayBackThatIsSpoiltLosesNothing; connections that were on their way in it, or could not follow because of it, may be cut at the drain deadline. RESUMED that is lost: TestGenerationThatMissesItsReleaseServesNeverAgain",
			guard:  "a successor that was taken back, and that RESUMED cannot reach, drains: `life.happened`",
		},
		{
			number: 14,
			fault:  `No free descriptors in the successor, truncated control messages, too many in flight`,
			tests:  `TestSuccessorWithoutDescriptorsIsRefused, which loses them as a truncated control message; too many in flight: TestTooManyDescriptorsInFlightAbortAHandover, TestTooManyDescriptorsInFlightFailAProbation, TestTooManyDescriptorsInFlightAtFinalLoseTheTakeoverSocketAlone, TestTooManyDescriptorsInFlightLeaveADrainingGenerationToItself, TestTooManyDescriptorsInFlightKeepConnectionsWhereTheyAre; unit: TestReceiverOutOfDescriptorsLearnsOfTheLossAndLeaksNone, TestSenderBeyondTheInFlightLimitSendsNothingAndCanRepeat. None left in the incumbent, the successor or the keeper for a while, at any instant: TestSoak; as connections follow: TestReceiverWithoutDescriptorsTakesConnectionsLater; at FINAL: TestSuccessorWithoutDescriptorsAtFinalAnswersAtItsSocketLater; when somebody asks at the takeover socket: TestServiceThatHadNoDescriptorsAnswersAtItsSocketAgain, TestKeeperThatHadNoDescriptorsAnswersAgain; unit: TestNoWantEndsTheLoop, TestWantOfDescriptorsLosesNoQueuedConnection, TestDeathIsLearntOfWhenNoDescriptorIsAllowed`,
			guard:  "what could not be sent is open here again: `follow.pump`; a kernel that cannot be asked for a death is asked again: `awaitDeath`; connections that came without their descriptors are tried again: `life.judge`, `Link.claim`; who has connected waits until there are descriptors: `accept.Each`",
		},
		{
			number: 15,
			fault:  `The incumbent closes before the successor listens`,
			tests:  `TestTwoHundredUpgradesLoseNothing, TestJoinedUpgradesLoseNothing; sockets of a group (SO_REUSEPORT): TestGroupThatShrinksAndGrowsLosesNothing`,
			guard:  `spares, and queues that are shared before the commit`,
		},
		{
			number: 16,
			fault:  `The disk is full or read-only`,
			tests:  "TestUpgradeNeedsNothingOfTheRuntimeDirectory; full, without inodes, read-only (`make test-all`): TestUpgradesOnAnIllDiskLoseNothing, TestKeeperOnAnIllDiskGoesOn; where a release is laid down: TestFullDiskIsRefused",
			guard:  "the takeover socket travels with FINAL: `door.hand`",
		},
		{
			number: 17,
			fault:  `A socket file of a dead process; its pid is another's`,
			tests:  `TestSocketOfADeadProcessIsNotMistakenForAService, TestPathOfAKilledServiceIsBoundByTheNext, TestIncumbentIsKnownByItsPidfdNotByAPid; unit: TestPidfdOfAReapedProcessIsDead`,
			guard:  "a socket that refuses is nobody's: `takeover.Dial`, `sockets.bindAnew`; the incumbent is known by the pidfd that OFFER brings: `Peer.Becomes`",
		},
		{
			number: 18,
			fault:  `Two successors at once`,
			tests:  `TestOfTwoThatJoinAtOnceOneSucceeds, TestThirdProcessIsTurnedAwayWhileOneJoins, TestProcessThatJoinsIsTurnedAwayWhileOneThatWasStartedPrepares, TestTwoFirstStartsAtOnceLeaveOneService`,
			guard:  "one handover at a time: `life.upgrade`",
		},
	}},
	{"After the commit", []fault{
		{
			number: 19,
			fault:  `The successor crashes at once, later, during migration, after final`,
			tests:  `TestBuildThatCrashesAfterTheCommitIsTakenBack, TestStruckAtRandomInstantsTheServiceGoesOn, TestKilledAfterFinalDrainersGoOn; under systemd TestSuccessorKilledInProbationIsTakenBack, TestCrashWhileAnotherGenerationDrainsIsRestartedByTheWatchdog. under a keeper TestBuildThatIsBadAfterTheCommitIsTakenBack, TestKilledDuringAHandoverTheServiceGoesOn, TestKilledServiceIsServedAgainAndRefusesNobody, and with every kind of traffic TestCrashedBuildLosesWhatItHadAccepted`,
			guard:  `the keeper holds the listeners after a death; restarts grow apart; the vote`,
		},
		{
			number: 20,
			fault:  `main returns when its listener closes, and kills the drain`,
			tests:  `TestDropInLosesNothing, TestTenGenerationsWithClientsThatNeverLeave`,
			guard:  "a generation has drained when no connection is open: `follow.pump`",
		},
		{
			number: 21,
			fault:  `systemd loses track of the main process, kills the cgroup, starts a second copy`,
			tests:  `TestUpgradesByReloadLoseNothing, TestIncumbentKilledInProbationIsSucceededWithoutARestart, TestIncumbentKilledBeforeItsSuccessorCanSayItServes, TestExitStatusOfAGenerationThatHandedOverDoesNoHarm, TestStopInProbationEndsBothGenerations`,
			guard:  `KillMode=process and Restart= of the unit`,
		},
		{
			number: 22,
			fault:  `An upgrade during a drain; ten in a row with clients that never leave`,
			tests:  `TestTenGenerationsWithClientsThatNeverLeave, TestUpgradeIsRefusedWhileTooManyDrain`,
			guard:  "MaxDraining: `life.upgrade`",
		},
		{
			number: 23,
			fault:  `A generation never ends; it spins`,
			tests:  `TestBuildThatHangsAfterTheCommitIsTakenBack, TestHungBuildLosesWhatItHadAccepted, TestDrainingGenerationToldToEndShortensItsDrain; spinning: TestBuildThatSpinsAfterTheCommitIsTakenBack, TestDrainingGenerationThatSpinsIsCutAtItsDeadline. One that drains and never gets to run (stopped, or preemption switched off): TestDrainingGenerationThatNeverRunsHoldsUpNobody. Nobody kills after FINAL: upgrades go on up to MaxDraining, and then name the process, for a person to kill`,
			guard:  "probation and draining have a deadline: `Config.deadline`",
		},
		{
			number: 24,
			fault:  `A descriptor leaks with each generation; children inherit variables that are not theirs`,
			tests:  `TestHandoversLeaveNothingBehind, TestResumedHandoversLeaveNothingBehind, TestChildOfAServiceInheritsNothingOfTheHandover`,
			guard:  "the link and the pidfd of a dead successor are closed: `life.releasePeer`; the link leaves the environment: `inheritedLink`",
		},
		{
			number: 25,
			fault:  `A changed socket option is ignored in silence`,
			tests:  `TestChangedSocketOptionIsReported; keep-alive, which is set on each connection, is the one asked for: TestKeepAliveOfListenConfigHoldsInEveryGeneration; unit, every option: TestChangedOptionsAreNamedWithBothValues`,
			guard:  "`listener.Accept` asks for keep-alive on each connection",
		},
		{
			number: 26,
			fault:  `PID 1 in a container; zombies`,
			tests:  `TestKeeperIsFitToBePID1`,
			guard:  `orphans are reaped: the keeper's nursery`,
		},
		{
			number: 27,
			fault:  `The incumbent still accepts after the commit`,
			tests:  `TestIncumbentAcceptsNothingAfterTheCommit; background work: TestWorkersOfTwoGenerationsNeverOverlap`,
			guard:  "before the commit listeners are parked, and background work has returned: `Process.pause`",
		},
		{
			number: 28,
			fault:  `The way back needs the old binary, which was replaced`,
			tests:  `TestDemoKeepsEveryPromise (v10 and v13 stand at the path of v9 and v12, which resume); by a keeper TestKeptBuildIsRestartedWhateverLiesOnDisk`,
			guard:  `the keeper starts the build that ran, not the file that lies there`,
		},
	}},
	{"Traffic", []fault{
		{
			number: 29,
			fault:  `GOAWAY only with the next request; idle connections never closed`,
			tests:  "TestHTTP2OverTLSLosesNothing, TestHTTP2WithPriorKnowledgeLosesNothing; real clients (`make test-all`): TestCurlLosesNothing, TestH2loadLosesNothing; streams that cross GOAWAY: TestStreamThatCrossesGoAwayIsAnswered. Idle connections over TLS: TestHTTP1OverTLSIsAskedToLeaveAtItsNextAnswer, and those that stay silent are cut: TestConnectionsCutAtTheDrainDeadlineAreCountedByKind. Idle connections of HTTP/2 whose client does not look: TestIdleHTTP2ConnectionThatItsClientForgetsEndsSoon",
			guard:  "`server.leave`: a GOAWAY before the one that refuses",
		},
		{
			number: 30,
			fault:  `A reset on a connection that is used again`,
			tests:  `TestTwoHundredUpgradesLoseNothing`,
			guard:  "connections follow, none is closed: `follow.begin`",
		},
		{
			number: 31,
			fault:  `All clients connect anew at once`,
			tests:  `TestTwoHundredUpgradesLoseNothing (no plain connection closes); over TLS, where they do, each resumes its session: TestEveryTLSClientResumesAcrossTenUpgrades, TestTicketsOfABuildThatWasTakenBackAreHonoured, TestOpenSSLResumesAcrossTenUpgrades`,
			guard:  "`life.precopy` sends the keys of tickets",
		},
		{
			number: 32,
			fault:  `Half-read POST, 100-continue, pipelining, half-written answer, slow reader, trailers, SSE, WebSocket, gRPC, upgrade, CONNECT`,
			tests:  "all of HTTP/1.1, by the load: TestTwoHundredUpgradesLoseNothing, TestDemoKeepsEveryPromise; clients of every kind at once (`make test-all`): TestFiftyUpgradesOfTheZooLoseNothing, TestBuildThatFallsIllGivesBackWhatItAccepted",
			guard:  "no capture once a byte of a request was heard: `idle.Point.Stands`",
		},
		{
			number: 0,
			fault:  `half-read POST, 100-continue, chunked trailers`,
			tests:  `TestByteSplitsAreAnsweredAsByPlainNetHTTP; where the connection cannot follow: TestPostThatIsHalfReadAtFinalIsAnswered`,
			guard:  "no capture once a byte of a request was heard: `idle.Point.Stands`",
		},
		{
			number: 0,
			fault:  `pipelined requests`,
			tests:  `TestByteSplitsAreAnsweredAsByPlainNetHTTP, TestHalfAHeadBehindARequestStaysWithItsProcess; where the connection cannot follow: TestPipelinedOverTLSIsAnsweredToTheLast, TestPipelinedOnARefusedConnectionIsAnsweredToTheLast, TestClientThatPipelinesIsAskedBehindItsBatch, TestClientThatKeepsRequestsUnderWayIsNotAskedInAGap`,
			guard:  "a request behind the last answer is looked for: `conn.alone`; the idle point needs net/http's whole buffer",
		},
		{
			number: 0,
			fault:  `half-written answer, and its trailers`,
			tests:  `TestTenGenerationsWithClientsThatNeverLeave`,
			guard:  "a connection in a request keeps its generation: `sockets.count`",
		},
		{
			number: 0,
			fault:  `slow reader with a megabyte unread, at FINAL`,
			tests:  `TestMegabyteUnreadAtFinalIsReadToTheEnd, TestMegabyteUnreadOnHTTP2OutlivesItsServer`,
			guard:  "`conn.Close` lingers",
		},
		{
			number: 0,
			fault:  `the same at the drain deadline`,
			tests:  `TestMegabyteUnreadAtTheDrainDeadlineIsDelivered, TestUnfinishedAnswersAreCutAtTheDrainDeadline`,
			guard:  `no reset of what is unread`,
		},
		{
			number: 0,
			fault:  `SSE, long poll`,
			tests:  `TestEventStreamEndsWellBeforeTheDrainDeadline, TestLongPollEndsAtFinal`,
			guard:  "handlers are told before the cut, and at FINAL: `life.tick`, `Process.leave`",
		},
		{
			number: 0,
			fault:  `WebSocket, by a real client`,
			tests:  `TestWebSocketsOutliveTenUpgrades, TestWebSocketSwitchedInMidMessage`,
			guard:  "a session is asked to be let go: `Session.Wait`",
		},
		{
			number: 0,
			fault:  `gRPC, by a real client; streams of HTTP/2`,
			tests:  `TestDefaultClientsSeeNoErrorInAHundredUpgrades, TestStreamsThatAreOpenAtFINALFinishWhole; TestHTTP2OverTLSLosesNothing`,
			guard:  "GOAWAY, and calls finish: `service.drain` of contrib/grpc",
		},
		{
			number: 0,
			fault:  `upgrade, CONNECT`,
			tests:  `TestHijackedConnectionLivesInItsGeneration, TestHijackedConnectionIsCutAtTheDrainDeadline, TestTunnelLivesInItsGeneration`,
			guard:  "a hijacked connection keeps its generation: `conn.observe`",
		},
		{
			number: 33,
			fault:  `A migration's error is ignored: a connection stalls, or has two writers`,
			tests:  `TestStruckWhileConnectionsFollow, TestKilledAfterFinalDrainersGoOn, TestIdleDeadlinesHoldAcrossMigration; sessions: TestStruckWhileSessionsFollow, TestStruckWhileSessionsComeBack, TestKilledBeforeItAcknowledgesSessionsGoOnWithTheSender, TestSessionsOfAnUnknownKindStay; over TLS, with the keys: TestNoRecordIsSealedTwice, TestStruckWhileTLSConnectionsFollow, TestStruckWhileTLSConnectionsComeBack, TestKilledBeforeItAcknowledgesTLSConnectionsGoOnWithTheSender, TestTLSConnectionsWhoseVerdictIsGarbledAreClosed; either side closes at that moment: TestClientsThatLeaveAtTheSwitchLeaveNothingBehind`,
			guard:  `a given connection that ends is closed; a connection without a verdict is kept when its receiver is dead`,
		},
		{
			number: 34,
			fault:  `Datagrams reach the wrong generation`,
			tests:  `TestDatagramsOutliveTwentyUpgrades, TestAbortedHandoverLosesNoDatagram, TestSuccessorKilledInProbationLosesTheDatagramInItsHand, TestDatagramsOfASocketThatIsGivenUpAreAnswered, TestFloodOfDatagramsLosesNoneInTheSwitch, TestGroupOfDatagramSocketsShrinksAndGrowsWithNothingLost; unit: TestTwoGenerationsNeverReadAtATime`,
			guard:  `the gate of a datagram socket; a UDP socket leaves its group`,
		},
		{
			number: 35,
			fault:  `The generation that leaves removes the unix socket's path`,
			tests:  `TestUnixSocketPathOutlivesGenerations, TestUnixSocketKeepsModeAndOwner`,
			guard:  `the path of a unix socket is not unlinked`,
		},
	}},
	{"The host", []fault{
		{
			number: 36,
			fault:  `Two generations are too much memory for the cgroup`,
			tests:  `TestMemoryThatRunsOutInTheOverlapCostsTheSuccessor, TestGenerationIsNoLongerExpendableOnceItServes: by the kernel's own order (oom_score), without a cgroup`,
			guard:  "until it is final, the kernel takes the successor first: `generation.expend`",
		},
		{
			number: 37,
			fault:  `The clock jumps`,
			tests:  `TestClockThatJumpsChangesNothing`,
			guard:  "deadlines are instants of the monotonic clock: `deadlineTimer.start`",
		},
		{
			number: 38,
			fault:  `The keeper or the agent dies, or is upgraded`,
			tests:  `TestServiceOutlivesItsKeeperAndTakesTheNext, TestKeeperKilledDuringAHandover, TestNextKeeperRestartsTheBuildThatServes, TestKeeperIsReplacedUnderLoadAndNobodyNotices; the link between the two broken while both live: TestKeeperReachesAGenerationAgainWhoseLinkHasBroken. The agent: TestAgentKilledAtRandomInstants, TestAgentIsReplacedUnderLoad`,
			guard:  "REGISTER to a next keeper; a keeper that cannot be answered is given nothing; `Keeper.rejoin`; each service has a keeper of its own, and each step of the agent is on record before it is done",
		},
		{
			number: 39,
			fault:  "`kill -9` of the only generation under load",
			tests:  `TestKilledServiceIsServedAgainAndRefusesNobody`,
			guard:  `the keeper holds the listeners after a death`,
		},
		{
			number: 40,
			fault:  `Network jitter and loss; starvation of the processor`,
			tests:  "delay of 5 to 50 ms: TestUpgradesBehindANetworkThatJittersLoseNothing; loss of 2 and 10 in a hundred packets (`make test-all`): TestUpgradesOverANetworkThatLosesPacketsLoseNothing; starvation: TestUpgradesOfAServiceThatIsStarvedLoseNothing, TestUpgradesOfAServiceThatIsStoppedAgainAndAgainLoseNothing; that a process stood still: TestStruckAtAFrameTheServiceGoesOn (STOP), TestHandoverGoesOnAfterBothSidesStoodStill; unit: TestChildWhosePidfdWasSentIsNotTakenForDead; all of it at random: TestSoak",
			guard:  "a process that did not run moves its deadlines: `deadlineTimer.tick`; connections follow, none is closed: `follow.begin`; a child whose pidfd was sent is waited for again: `child.reap`",
		},
	}},
}
