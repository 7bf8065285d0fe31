//! The state of an index: which generation serves, which is being built, and how far refreshes came that did not end.

use bytes::Bytes;
use freshet_store::{Condition, Store, StoreError, Version};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::patience::Patience;
use crate::source::{Basis, Origin, Source};
use crate::{IndexRef, RefreshError, Shape, keys};

/// How long a generation stays after another took its place: readers know of the change within a second, and no request lasts as
/// long.
pub const RETIREMENT: SignedDuration = SignedDuration::from_secs(60);
/// Most unfinished refreshes told apart; older ones are then taken together, and more is written anew than is needed.
const MAX_UNFINISHED: usize = 8;

/// The state of an index, one item in the store. Every change of it names the version that it was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The number of the refresh that began last.
    pub(crate) last_refresh: u64,
    /// The number of the generation that was made last.
    last_generation: u64,
    /// What readers see.
    pub(crate) serving: Option<Current>,
    /// What will be seen once its first refresh ends.
    building: Option<Generation>,
    /// Generations to be removed.
    pub(crate) retired: Vec<Retired>,
}

/// All profiles as one shape lays them out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) fingerprint: u64,
    pub(crate) filters: Vec<String>,
    pub(crate) unfinished: Vec<Unfinished>,
}

/// The generation that readers see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) generation: Generation,
    /// The time up to which accepted records are in it.
    pub(crate) as_of: Timestamp,
    /// When the last refresh ended.
    pub(crate) refreshed_at: Timestamp,
    /// How many profiles it left.
    pub(crate) profiles: u64,
    /// What it made them of, where the next refresh can go on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    /// When a refresh of all rows ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole_at: Option<Timestamp>,
}

/// A generation that is no longer read, or never was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retired {
    pub(crate) generation: u64,
    /// Readers may be on it until then.
    pub(crate) until: Timestamp,
}

/// Refreshes that began and did not end. What they wrote of a profile is whole up to a profile id; beyond it, it may be half done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    first: u64,
    last: u64,
    /// None: nothing is known to be whole.
    whole_until: Option<String>,
}

impl Unfinished {
    /// Whether what a refresh wrote of a profile may be half done.
    pub(crate) fn left_half_done(&self, refresh: u64, id: &str) -> bool {
        (self.first..=self.last).contains(&refresh) && self.whole_until.as_deref().is_none_or(|until| id > until)
    }
}

/// What a refresh comes to that has written everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    pub(crate) origin: &'a Origin,
    /// How many profiles there are.
    pub(crate) profiles: u64,
    /// Whether it was of all rows.
    pub(crate) is_whole: bool,
}

impl State {
    /// Begins a refresh, and says the generation that it writes to.
    fn begin(&mut self, shape: &Shape, now: Timestamp) -> u64 {
        self.last_refresh += 1;
        let number = self.last_refresh;
        let serves_shape =
            self.serving.as_ref().is_some_and(|serving| serving.generation.fingerprint == shape.fingerprint);
        let is_other = |building: &mut Generation| serves_shape || building.fingerprint != shape.fingerprint;
        if let Some(abandoned) = self.building.take_if(is_other) {
            self.retired.push(Retired { generation: abandoned.number, until: now });
        }
        let generation = match &mut self.serving {
            Some(serving) if serves_shape => &mut serving.generation,
            _ => self.building.get_or_insert_with(|| {
                self.last_generation += 1;
                let (number, fingerprint) = (self.last_generation, shape.fingerprint);
                Generation { number, fingerprint, filters: shape.filters.clone(), unfinished: Vec::new() }
            }),
        };
        generation.unfinished.push(Unfinished { first: number, last: number, whole_until: None });
        if generation.unfinished.len() > MAX_UNFINISHED {
            let second = generation.unfinished.remove(1);
            if let Some(first) = generation.unfinished.first_mut() {
                first.last = second.last;
                first.whole_until = first.whole_until.take().min(second.whole_until);
            }
        }
        generation.number
    }

    /// What the refresh that began last wrote is whole up to a profile.
    fn pass(&mut self, generation: u64, id: &str) {
        let last = self.generation_mut(generation).and_then(|generation| generation.unfinished.last_mut());
        if let Some(last) = last {
            last.whole_until = Some(id.to_owned());
        }
    }

    /// The refresh that began last has written everything: its generation serves.
    fn finish(&mut self, number: u64, ended: &Ended<'_>, now: Timestamp) {
        let Ended { origin, profiles, is_whole } = ended;
        if let Some(built) = self.building.take_if(|building| building.number == number) {
            let serving = Current {
                generation: built,
                as_of: origin.as_of,
                refreshed_at: now,
                profiles: *profiles,
                source: None,
                whole_at: None,
            };
            if let Some(before) = self.serving.replace(serving) {
                let until = now.saturating_add(RETIREMENT).unwrap_or(Timestamp::MAX);
                self.retired.push(Retired { generation: before.generation.number, until });
            }
        }
        if let Some(serving) = self.serving.as_mut().filter(|serving| serving.generation.number == number) {
            serving.generation.unfinished.clear();
            (serving.as_of, serving.refreshed_at, serving.profiles) = (origin.as_of, now, *profiles);
            serving.source.clone_from(&origin.source);
            if *is_whole {
                serving.whole_at = Some(now);
            }
        }
    }

    /// Nothing of it serves or is built any more, and all is to be removed at once.
    pub(crate) fn retire_all(&mut self, now: Timestamp) {
        let serving = self.serving.take().map(|serving| serving.generation);
        for generation in serving.into_iter().chain(self.building.take()) {
            self.retired.push(Retired { generation: generation.number, until: now });
        }
        self.retired.iter_mut().for_each(|retired| retired.until = now);
        // A refresh that is under way is another one's from here on, and stops.
        self.last_refresh += 1;
    }

    pub(crate) fn generation(&self, number: u64) -> Option<&Generation> {
        let serving = self.serving.as_ref().map(|serving| &serving.generation);
        serving.into_iter().chain(&self.building).find(|generation| generation.number == number)
    }

    fn generation_mut(&mut self, number: u64) -> Option<&mut Generation> {
        let serving = self.serving.as_mut().map(|serving| &mut serving.generation);
        serving.into_iter().chain(&mut self.building).find(|generation| generation.number == number)
    }
}

/// The state as it was read or written last.
#[derive(Debug, Clone)]
pub(crate) struct StoredState {
    pub(crate) state: State,
    /// None: there is none yet.
    version: Option<Version>,
}

impl StoredState {
    pub(crate) async fn load(store: &dyn Store, index: &IndexRef) -> Result<Self, StoreError> {
        let Some(item) = store.get(&keys::state(index)).await? else {
            return Ok(Self { state: State::default(), version: None });
        };
        let state = serde_json::from_slice(&item.value).map_err(|source| StoreError::Corrupt {
            context: format!("the state of profile index {} is not one", index.id),
            source: Some(Box::new(source)),
        })?;
        Ok(Self { state, version: Some(item.version) })
    }

    /// Changes the state. Where another has changed it meanwhile, its change is made anew on what that one left, if `goes_on` says so
    /// of it; else nothing is changed, and the answer is false.
    pub(crate) async fn change(
        &mut self,
        store: &dyn Store,
        index: &IndexRef,
        mut change: impl FnMut(&mut State),
        goes_on: impl Fn(&State) -> bool,
    ) -> Result<bool, StoreError> {
        let mut patience = Patience::default();
        loop {
            let mut state = self.state.clone();
            change(&mut state);
            let value = serde_json::to_vec(&state).map(Bytes::from).map_err(|source| StoreError::Refused {
                context: format!("the state of profile index {} can't be written", index.id),
                source: Some(Box::new(source)),
            })?;
            let condition = self.version.map_or(Condition::Absent, Condition::Is);
            match store.put(&keys::state(index), value, condition).await {
                Ok(version) => {
                    *self = Self { state, version: Some(version) };
                    return Ok(true);
                }
                Err(StoreError::Conflict { key }) => {
                    // Perhaps an attempt of ours that was thought to have failed.
                    patience.wait(StoreError::Conflict { key }).await?;
                    *self = Self::load(store, index).await?;
                    if !goes_on(&self.state) {
                        return Ok(false);
                    }
                }
                Err(error) if error.is_temporary() => patience.wait(error).await?,
                Err(error) => return Err(error),
            }
        }
    }
}

/// A refresh that has begun: the state, and its number and generation in it.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) index: &'a IndexRef,
    stored: StoredState,
    pub(crate) refresh: u64,
    pub(crate) generation: u64,
}

impl<'a> Begun<'a> {
    pub(crate) async fn begin(
        store: &'a dyn Store,
        index: &'a IndexRef,
        shape: &Shape,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut stored = StoredState::load(store, index).await?;
        let mut generation = 0;
        stored.change(store, index, |state| generation = state.begin(shape, now), |_| true).await?;
        Ok(Self { store, index, refresh: stored.state.last_refresh, generation, stored })
    }

    /// Begins a refresh that goes on from `basis`. None: something else became of the index since.
    pub(crate) async fn begin_on(
        store: &'a dyn Store,
        index: &'a IndexRef,
        shape: &Shape,
        basis: &Basis,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let mut stored = StoredState::load(store, index).await?;
        let still_is = |state: &State| basis.is_of(shape) && Basis::of(state).as_ref() == Some(basis);
        if !still_is(&stored.state) {
            return Ok(None);
        }
        let mut generation = 0;
        let begun = stored.change(store, index, |state| generation = state.begin(shape, now), still_is).await?;
        let refresh = stored.state.last_refresh;
        Ok(begun.then_some(Self { store, index, stored, refresh, generation }))
    }

    /// The generation that it writes to, as it was when the refresh began but for how far this one came.
    pub(crate) fn unfinished_before(&self) -> Vec<Unfinished> {
        let unfinished = self.stored.state.generation(self.generation).map(|generation| generation.unfinished.clone());
        unfinished.unwrap_or_default()
    }

    pub(crate) async fn pass<E>(&mut self, id: &str) -> Result<(), RefreshError<E>> {
        let generation = self.generation;
        self.change(|state| state.pass(generation, id)).await
    }

    pub(crate) async fn finish<E>(&mut self, ended: Ended<'_>, now: Timestamp) -> Result<(), RefreshError<E>> {
        let generation = self.generation;
        self.change(|state| state.finish(generation, &ended, now)).await
    }

    async fn change<E>(&mut self, change: impl FnMut(&mut State)) -> Result<(), RefreshError<E>> {
        let refresh = self.refresh;
        let goes_on = |state: &State| state.last_refresh == refresh;
        if self.stored.change(self.store, self.index, change, goes_on).await? {
            return Ok(());
        }
        Err(RefreshError::Superseded)
    }
}
