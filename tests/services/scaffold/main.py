"""The application: login, sign-up, users, and items of which everybody sees their own."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from models import Item, User
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

API = "/api/v1"
ALGORITHM = "HS256"
SECRET_KEY = os.environ.get("SECRET_KEY", "changethis-changethis-changethis-changethis")
TOKEN_LIFE = timedelta(days=8)

engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
passwords = PasswordHasher(time_cost=1, memory_cost=8192)
reusable_oauth2 = OAuth2PasswordBearer(tokenUrl=f"{API}/login/access-token")


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
TokenDep = Annotated[str, Depends(reusable_oauth2)]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    try:
        subject = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])["sub"]
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials") from None
    user = session.get(User, uuid.UUID(subject))
    if user is None:
        raise HTTPException(404, "User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


def get_superuser(user: CurrentUser) -> User:
    if not user.is_superuser:
        raise HTTPException(403, "The user doesn't have enough privileges")
    return user


class Token(BaseModel):
    access_token: str
    token_type: str = "bearer"


class Message(BaseModel):
    message: str


class UserRegister(BaseModel):
    email: str = Field(max_length=255, json_schema_extra={"format": "email"})
    password: str = Field(min_length=8, max_length=40)
    full_name: str | None = Field(default=None, max_length=255)


class UserPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    email: str
    full_name: str | None = None


class UsersPublic(BaseModel):
    data: list[UserPublic]
    count: int


class ItemCreate(BaseModel):
    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=255)


class ItemUpdate(BaseModel):
    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=255)


class ItemPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    title: str
    description: str | None = None
    owner_id: uuid.UUID


class ItemsPublic(BaseModel):
    data: list[ItemPublic]
    count: int


login = APIRouter(tags=["login"])
users = APIRouter(prefix="/users", tags=["users"])
items = APIRouter(prefix="/items", tags=["items"])
utils = APIRouter(prefix="/utils", tags=["utils"])


@login.post("/login/access-token")
def login_access_token(session: SessionDep, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
    user = session.scalar(select(User).where(User.email == form.username))
    try:
        passwords.verify(user.hashed_password if user else "", form.password)
    except (VerifyMismatchError, ValueError):
        raise HTTPException(400, "Incorrect email or password") from None
    claims = {"exp": datetime.now(UTC) + TOKEN_LIFE, "sub": str(user.id if user else "")}
    return Token(access_token=jwt.encode(claims, SECRET_KEY, ALGORITHM))


@login.post("/login/test-token", response_model=UserPublic)
def test_token(user: CurrentUser) -> Any:
    return user


@users.get("/", dependencies=[Depends(get_superuser)], response_model=UsersPublic)
def read_users(session: SessionDep, skip: int = 0, limit: int = 100) -> Any:
    found = session.scalars(select(User).offset(skip).limit(limit)).all()
    return {"data": found, "count": session.scalar(select(func.count()).select_from(User))}


@users.post("/", dependencies=[Depends(get_superuser)], response_model=UserPublic)
def create_user(session: SessionDep, user: UserRegister) -> Any:
    return register_user(session, user)


@users.get("/me", response_model=UserPublic)
def read_user_me(user: CurrentUser) -> Any:
    return user


@users.post("/signup", response_model=UserPublic)
def register_user(session: SessionDep, user: UserRegister) -> Any:
    if session.scalar(select(User.id).where(User.email == user.email)):
        raise HTTPException(400, "The user with this email already exists in the system")
    added = User(email=user.email, hashed_password=passwords.hash(user.password), full_name=user.full_name)
    session.add(added)
    session.commit()
    return added


@users.get("/{user_id}", response_model=UserPublic)
def read_user_by_id(user_id: uuid.UUID, session: SessionDep, user: CurrentUser) -> Any:
    if user_id != user.id and not user.is_superuser:
        raise HTTPException(403, "The user doesn't have enough privileges")
    return session.get(User, user_id)


@items.get("/", response_model=ItemsPublic)
def read_items(session: SessionDep, user: CurrentUser, skip: int = 0, limit: int = 100) -> Any:
    own = Item.owner_id == user.id
    found = session.scalars(select(Item).where(own).offset(skip).limit(limit)).all()
    return {"data": found, "count": session.scalar(select(func.count()).select_from(Item).where(own))}


@items.get("/{id}", response_model=ItemPublic)
def read_item(session: SessionDep, user: CurrentUser, id: uuid.UUID) -> Any:  # noqa: A002
    return own_item(session, user, id)


@items.post("/", response_model=ItemPublic)
def create_item(session: SessionDep, user: CurrentUser, item_in: ItemCreate) -> Any:
    item = Item(**item_in.model_dump(), owner_id=user.id)
    session.add(item)
    session.commit()
    return item


@items.put("/{id}", response_model=ItemPublic)
def update_item(session: SessionDep, user: CurrentUser, id: uuid.UUID, item_in: ItemUpdate) -> Any:  # noqa: A002
    item = own_item(session, user, id)
    for name, value in item_in.model_dump(exclude_unset=True).items():
        setattr(item, name, value)
    session.commit()
    return item


@items.delete("/{id}")
def delete_item(session: SessionDep, user: CurrentUser, id: uuid.UUID) -> Message:  # noqa: A002
    session.delete(own_item(session, user, id))
    session.commit()
    return Message(message="Item deleted successfully")


def own_item(session: Session, user: User, item_id: uuid.UUID) -> Item:
    item = session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, "Item not found")
    if item.owner_id != user.id:
        raise HTTPException(403, "Not enough permissions")
    return item


@utils.get("/health-check/")
def health_check() -> bool:
    return True


app = FastAPI(title="Full Stack Project", openapi_url=f"{API}/openapi.json")
for router in (login, users, utils, items):
    app.include_router(router, prefix=API)
