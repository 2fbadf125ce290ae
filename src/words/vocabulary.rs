//! What points and commands are called, and in which units points are: from the kinds in force.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::kind::{Kind, ValueType};
use crate::domain::text::Text;

/// Names for people, by kind and id. Empty: ids stand for themselves.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    points: HashMap<(String, String), Point>,
    /// By the point's id alone, for alarms of a whole venue; without a unit where kinds differ.
    anywhere: HashMap<String, Point>,
    commands: HashMap<(String, String), Text>,
}

#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) title: Text,
    pub(super) unit: String,
}

/// The vocabulary in force: it follows a reload of the kinds.
#[derive(Debug, Clone)]
pub struct InForce(watch::Receiver<Arc<Vocabulary>>);

impl InForce {
    /// `vocabulary`, and where the next one is put in force.
    pub fn new(vocabulary: Vocabulary) -> (watch::Sender<Arc<Vocabulary>>, InForce) {
        let (sender, receiver) = watch::channel(Arc::new(vocabulary));
        (sender, InForce(receiver))
    }

    pub(super) fn now(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.0.borrow())
    }
}

impl From<Vocabulary> for InForce {
    fn from(vocabulary: Vocabulary) -> InForce {
        InForce::new(vocabulary).1
    }
}

impl Default for InForce {
    fn default() -> InForce {
        Vocabulary::default().into()
    }
}

impl Vocabulary {
    /// What `kinds` call their points and commands.
    pub fn of<'k>(kinds: impl IntoIterator<Item = &'k Kind>) -> Vocabulary {
        let mut vocabulary = Vocabulary::default();
        for kind in kinds {
            for point in &kind.points {
                let unit = match &point.value {
                    ValueType::Number { unit, .. } => unit.clone(),
                    ValueType::Bool | ValueType::Enum { .. } => String::new(),
                };
                let title = point.title.clone();
                let known = Point { title, unit };
                vocabulary
                    .anywhere
                    .entry(point.id.clone())
                    .and_modify(|other| {
                        if other.unit != known.unit {
                            other.unit.clear();
                        }
                    })
                    .or_insert_with(|| known.clone());
                vocabulary
                    .points
                    .insert((kind.id.clone(), point.id.clone()), known);
            }
            for command in &kind.commands {
                vocabulary
                    .commands
                    .insert((kind.id.clone(), command.id.clone()), command.title.clone());
            }
        }
        vocabulary
    }

    pub(super) fn point(&self, kind: &str, point: &str) -> Option<&Point> {
        let key = (kind.to_owned(), point.to_owned());
        self.points.get(&key).or_else(|| self.anywhere.get(point))
    }

    pub(super) fn command(&self, kind: &str, command: &str) -> Option<&Text> {
        self.commands.get(&(kind.to_owned(), command.to_owned()))
    }
}
