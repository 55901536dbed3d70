//! What a trial does.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::cut_points::How;
use crate::fault::Fault;
use crate::load::Mix;
use crate::target::Backend;

/// What a trial does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// As the report shows it.
    pub(crate) name: String,
    pub(crate) faults: Schedule,
    pub(crate) publishers: Publishers,
    pub(crate) workers: Workers,
    /// How long all is well between two faults, at least and at most.
    pub(crate) calm: (Duration, Duration),
}

/// Which faults, and how often.
#[derive(Clone, Debug)]
pub(crate) enum Schedule {
    /// This one, so many times.
    Times(Fault, usize),
    /// Each of these once, in this order.
    Each(Vec<Fault>),
    /// Any of these, drawn by lot, for this long.
    Mixed(Vec<Fault>, Duration),
    /// This one, until everything is handled.
    UntilHandled(Fault),
    /// Messages themselves are the fault.
    None,
    /// Behind each frame of a short life, without other processes.
    CutPoints(How),
}

/// The processes that publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publishers {
    pub(crate) processes: u32,
    /// In each process.
    pub(crate) tasks: u32,
    /// Messages a second, of all together.
    pub(crate) rate: u32,
    /// Messages in all; `None` until the last fault is over.
    pub(crate) count: Option<u32>,
    pub(crate) mix: Mix,
}

/// The processes that work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers {
    pub(crate) processes: u32,
    pub(crate) concurrency: u32,
    /// The most that a message takes, in milliseconds.
    pub(crate) work: u32,
    pub(crate) crash_limit: u32,
}

const SOME: Publishers =
    Publishers { processes: 2, tasks: 10, rate: 300, count: None, mix: Mix { twice: 8, hopeless: 2, poison: None } };
/// Not too many for a machine that does other things too.
const FEWER: Publishers = Publishers { tasks: 5, rate: 100, mix: Mix { twice: 10, hopeless: 5, poison: None }, ..SOME };
const FEW: Workers = Workers { processes: 3, concurrency: 10, work: 30, crash_limit: 20 };
const CALM: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));
const SHORT: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(500));

impl Plan {
    /// One fault, a few times, and all that it does to a busy queue.
    pub(crate) fn single(fault: Fault, times: usize) -> Self {
        let faults = Schedule::Times(fault, times);
        Self { name: fault.name(), faults, publishers: SOME, workers: FEW, calm: CALM }
    }

    /// All of these faults that this backend can have, once each, in quick succession. Those that delete a queue come in a trial of
    /// their own: what is lost with it could not be told from what must not be.
    pub(crate) fn brief(backend: Backend, faults: &[Fault]) -> Vec<Self> {
        let (deleting, others): (Vec<_>, Vec<_>) = faults.iter().filter(|f| f.fits(backend)).partition(|f| f.deletes());
        let plan = |name: &str, faults: Vec<Fault>| Self {
            name: name.to_owned(),
            faults: Schedule::Each(faults),
            publishers: FEWER,
            workers: FEW,
            calm: SHORT,
        };
        let plans = [plan("each once", others), plan("each deletion once", deleting)];
        plans.into_iter().filter(|plan| !matches!(&plan.faults, Schedule::Each(faults) if faults.is_empty())).collect()
    }

    /// Whether messages for a queue that is gone may be left in delay queues, where they hold up those of the next trial.
    pub(crate) fn leaves_delays_behind(&self) -> bool {
        match &self.faults {
            Schedule::Times(fault, _) => *fault == Fault::QueueDelete,
            Schedule::Each(faults) => faults.contains(&Fault::QueueDelete),
            _ => false,
        }
    }

    /// All faults that this backend can have, in any order, for so long. Those that delete a queue are left out: what is
    /// lost then could not be told from what must not be.
    pub(crate) fn mixed(backend: Backend, time: Duration) -> Self {
        let faults = Fault::all().iter().copied();
        let faults = faults.filter(|fault| fault.fits(backend) && !fault.deletes()).collect();
        Self {
            name: format!("all mixed, {} min", time.as_secs().div_ceil(60)),
            faults: Schedule::Mixed(faults, time),
            publishers: Publishers { processes: 4, tasks: 25, ..SOME },
            workers: Workers { processes: 10, concurrency: 5, ..FEW },
            calm: (Duration::from_secs(2), Duration::from_secs(8)),
        }
    }

    /// Ten thousand messages that fail twice each, while the broker is killed every five seconds.
    pub(crate) fn under_fire(backend: Backend) -> Self {
        let fault = match backend {
            Backend::AmqpCluster => Fault::NodeKill,
            Backend::RedisSentinel => Fault::Failover,
            _ => Fault::BrokerKill,
        };
        let mix = Mix { twice: 100, hopeless: 0, poison: None };
        Self {
            name: "retries under fire".to_owned(),
            faults: Schedule::UntilHandled(fault),
            publishers: Publishers { rate: 1000, count: Some(10_000), mix, ..SOME },
            workers: FEW,
            calm: (Duration::from_secs(5), Duration::from_secs(5)),
        }
    }

    /// A connection fails behind each frame of a short life.
    pub(crate) fn cut_points(how: How) -> Self {
        let name = match how {
            How::Ended => "each frame, ended",
            How::Frozen => "each frame, frozen",
        };
        Self { name: name.to_owned(), faults: Schedule::CutPoints(how), publishers: SOME, workers: FEW, calm: CALM }
    }

    /// One message in five hundred ends the process that handles it.
    pub(crate) fn poison() -> Self {
        let mix = Mix { twice: 8, hopeless: 2, poison: NonZeroU32::new(500) };
        Self {
            name: "poison".to_owned(),
            faults: Schedule::None,
            publishers: Publishers { processes: 1, tasks: 1, count: Some(2000), mix, ..SOME },
            workers: FEW,
            calm: CALM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: &Plan) -> &[Fault] {
        let Schedule::Each(faults) = &plan.faults else { panic!("{plan:?}") };
        faults
    }

    #[test]
    fn what_deletes_a_queue_hides_no_other_loss() {
        let [others, deleting] = &Plan::brief(Backend::AmqpQuorum, Fault::all())[..] else { panic!("not two trials") };
        assert_eq!(faults(deleting), [Fault::QueueDelete, Fault::DeadDelete]);
        assert!(!faults(others).iter().any(|fault| fault.deletes()));
        let fitting = Fault::all().iter().filter(|fault| fault.fits(Backend::AmqpQuorum)).count();
        assert_eq!(faults(others).len() + 2, fitting);
        assert!(deleting.leaves_delays_behind() && !others.leaves_delays_behind());
    }

    #[test]
    fn what_does_not_fit_makes_no_trial() {
        assert_eq!(Plan::brief(Backend::Redis, &[Fault::NodeKill]).len(), 0);
        assert_eq!(Plan::brief(Backend::Redis, &[Fault::NodeKill, Fault::Cut]).len(), 1);
    }
}
